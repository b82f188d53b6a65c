"""What the App's sign-ins consist of: user tokens and the codes that lead to them."""

from zekt_sandbox.github.authorization_codes import AuthorizationCodes
from zekt_sandbox.github.clock import Clock
from zekt_sandbox.github.device_codes import DeviceCodes
from zekt_sandbox.github.user_tokens import UserTokens


class OAuth:
    """The memory of all sign-ins."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget every token and every code."""
        self.tokens = UserTokens(self._clock)
        self.codes = AuthorizationCodes(self._clock)
        self.devices = DeviceCodes(self._clock)
