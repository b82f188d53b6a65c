"""An Entra ID identity that notes for what its tokens were asked, and a certificate for 127.0.0.1."""

import ipaddress
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import jwt
from azure.core.credentials import AccessToken
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ISSUER: Final = "https://sts.windows.net/00000000-0000-0000-0000-000000000000/"
LIFE_S: Final = 3600


class RecordingCredential:
    """Gives tokens that are meant for what they are asked for, or for `audience`; `scopes` says what was asked."""

    def __init__(self, *, audience: str = "") -> None:
        self.scopes: list[str] = []
        self._audience = audience

    async def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        self.scopes += scopes
        now = int(time.time())
        audience = self._audience or scopes[0].removesuffix("/.default")
        claims = {"aud": audience, "iss": ISSUER, "iat": now, "nbf": now - 60, "exp": now + LIFE_S}
        return AccessToken(jwt.encode(claims, "nobody checks who signed".ljust(32), "HS256"), now + LIFE_S)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


@dataclass(frozen=True)
class Certificate:
    """Files in PEM form; whoever trusts `path` trusts the server that has the key."""

    path: Path
    key: Path


def certify(directory: Path, *names: str) -> Certificate:
    """Make a certificate for 127.0.0.1 and these names that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zekt tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, ("localhost", *names))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate = Certificate(directory / "certificate.pem", directory / "key.pem")
    certificate.path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    certificate.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate
