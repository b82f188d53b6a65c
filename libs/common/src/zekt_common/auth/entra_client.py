"""Asks Entra ID for a service token, through MSAL. It blocks: ask from a thread, and one at a time."""

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, assert_never

import msal  # type: ignore[import-untyped]  # it ships no types
import requests
from msal.exceptions import MsalError  # type: ignore[import-untyped]  # likewise

from zekt_common.auth.entra_credential import (
    CLIENT_SECRET,
    CREDENTIAL,
    FEDERATED_TOKEN_FILE,
    ClientSecret,
    EntraCredential,
    ManagedIdentity,
    WorkloadIdentity,
)
from zekt_common.auth.entra_settings import AUDIENCE, AUTHORITY, CLIENT_ID, TENANT_ID, EntraClient
from zekt_common.auth.entra_tokens import AcquiredToken
from zekt_common.auth.entra_transport import bounded_session
from zekt_common.auth.service_tokens import ServiceTokenUnavailable

AGAIN_S: Final = 5.0
MISCONFIGURED_AGAIN_S: Final = 60.0
_NOT_UNDERSTOOD: Final = (MsalError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
_ERROR_CODE: Final = re.compile(r"[a-z_]{1,40}")
_PASSING: Final = frozenset({"temporarily_unavailable", "server_error", "unknown_error"})
_SETTING_BEHIND: Final = {"unauthorized_client": CLIENT_ID, "invalid_resource": AUDIENCE, "invalid_scope": AUDIENCE}


class EntraTokenClient:
    """The application that the settings name. It remembers Entra ID's endpoints once it has found them."""

    def __init__(self, settings: EntraClient) -> None:
        self._settings = settings
        self._application: Any = None
        # What MSAL cannot parse it logs whole, and that may be half of a token.
        logging.getLogger("msal").setLevel(logging.CRITICAL)

    def acquire(self) -> AcquiredToken:
        """Return a token for identity.

        Raises:
            ServiceTokenUnavailable: Entra ID cannot be reached, fails or refuses; it names the setting to look at.
        """
        try:
            answer = self._ask()
        except requests.RequestException as error:
            raise _unavailable(f"{self._endpoint()} cannot be reached: {type(error).__name__}") from None
        except _NOT_UNDERSTOOD as error:
            raise _unavailable(f"{self._endpoint()} does not answer as Entra ID does: {type(error).__name__}") from None
        return self._token_in(answer)

    def _ask(self) -> Any:
        """Return MSAL's answer; which application asks is found out at the first time, over the network."""
        audience = self._settings.tenant.audience
        if self._application is None:
            self._application = _application_of(self._settings)
        if isinstance(self._settings.credential, ManagedIdentity):
            return self._application.acquire_token_for_client(resource=audience)
        return self._application.acquire_token_for_client(scopes=[f"{audience}/.default"])

    def _token_in(self, answer: Any) -> AcquiredToken:
        match answer:
            case {"access_token": str(value), "expires_in": int(life_s)}:
                return AcquiredToken(value, life_s)
            case {"error": str(error)} if error in _PASSING:
                raise _unavailable(f"{self._endpoint()} is overloaded or fails: {error}")
            case {"error": str(error)}:
                raise self._refused(error, answer.get("error_codes"))
        raise _unavailable(f"{self._endpoint()} does not answer as Entra ID does")

    def _refused(self, error: str, numbers: Any) -> ServiceTokenUnavailable:
        """Name error codes alone: descriptions are Entra ID's words, and could repeat ours."""
        codes = [error if _ERROR_CODE.fullmatch(error) else "an unknown error"]
        if isinstance(numbers, list):
            codes += [f"AADSTS{number}" for number in numbers if isinstance(number, int)]
        setting = _SETTING_BEHIND.get(error) or _setting_of(self._settings.credential)
        detail = (
            f"Entra ID gives the application {self._settings.client_id} no token ({', '.join(codes)}): see {setting}"
        )
        return ServiceTokenUnavailable(detail, retry_after_s=MISCONFIGURED_AGAIN_S)

    def _endpoint(self) -> str:
        if isinstance(self._settings.credential, ManagedIdentity):
            return f"the managed identity endpoint ({CREDENTIAL})"
        return f"{self._settings.tenant.authority} ({AUTHORITY}, {TENANT_ID})"


def _application_of(settings: EntraClient) -> Any:
    tenant, client_id = settings.tenant, settings.client_id
    proof: str | dict[str, Callable[[], str]]
    match settings.credential:
        case ManagedIdentity():
            session = bounded_session(tenant.ca_file, through_proxies=False)
            return msal.ManagedIdentityClient(
                msal.UserAssignedManagedIdentity(client_id=client_id), http_client=session
            )
        case ClientSecret(value):
            proof = value
        case WorkloadIdentity(token_file):
            proof = {"client_assertion": partial(_assertion, token_file)}
        case _:
            assert_never(settings.credential)
    return msal.ConfidentialClientApplication(
        client_id,
        client_credential=proof,
        oidc_authority=tenant.issuer,
        instance_discovery=False,
        http_client=bounded_session(tenant.ca_file, through_proxies=True),
    )


def _assertion(token_file: Path) -> str:
    """Read the file each time, since Kubernetes replaces it."""
    try:
        return token_file.read_text(errors="replace").strip()
    except OSError as error:
        problem = f"{FEDERATED_TOKEN_FILE} names {token_file}, which cannot be read: {error.strerror}"
        raise _unavailable(problem) from None


def _setting_of(credential: EntraCredential) -> str:
    match credential:
        case ClientSecret():
            return CLIENT_SECRET
        case WorkloadIdentity():
            return FEDERATED_TOKEN_FILE
        case ManagedIdentity():
            return CLIENT_ID
        case _:
            assert_never(credential)


def _unavailable(detail: str) -> ServiceTokenUnavailable:
    return ServiceTokenUnavailable(detail, retry_after_s=AGAIN_S)
