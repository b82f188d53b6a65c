"""All controls of one stand-in, for whoever holds it in the same process."""

from zekt_sandbox.github.core import Core
from zekt_sandbox.github.directory import DirectoryControls
from zekt_sandbox.github.installation_lifecycle import InstallationLifecycle
from zekt_sandbox.github.people_controls import PeopleControls
from zekt_sandbox.github.repository_lifecycle import RepositoryLifecycle
from zekt_sandbox.github.traffic import TrafficControls


class Controls(InstallationLifecycle, RepositoryLifecycle, PeopleControls, TrafficControls):
    """What exists and what happens, over the same parts."""

    def __init__(self, core: Core) -> None:
        DirectoryControls.__init__(self, core)
        PeopleControls.__init__(self, core)
        TrafficControls.__init__(self, core)

    def credentials(self) -> frozenset[str]:
        """Every token that was ever given out, also those that work no more: for those who look where they went."""
        return frozenset(self._core.state.tokens) | self._core.oauth.tokens.values()
