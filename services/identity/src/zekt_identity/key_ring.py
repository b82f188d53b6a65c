"""The keys that sessions are signed with: a new one each day, made by whichever replica needs it first.

The private half is stored sealed, and forgotten once nothing that it signed can count any more.
"""

import base64
import contextlib
import secrets
from datetime import datetime
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zekt_common.contracts.identity_sessions import PublicKey
from zekt_common.errors import DocumentConflict
from zekt_common.ports import Document, Put, Remove, Views
from zekt_common.ports.views import ABSENT
from zekt_identity.sealing import OWN_KEY, Sealer

PARTITION: Final = "session-keys"
KEPT_DAYS: Final = 2
_DAY_S: Final = 24 * 3600


class SigningKey(msgspec.Struct, frozen=True):
    """A private key and the id that tokens name it by; its repr shows the id alone."""

    kid: str
    private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"


class _Stored(msgspec.Struct, frozen=True):
    public: PublicKey
    sealed: bytes


class KeyRing:
    """One document a day; of replicas that make the day's key at once one wins, and all use that one."""

    def __init__(self, views: Views, sealer: Sealer) -> None:
        self._views = views
        self._sealer = sealer
        self._current: tuple[str, SigningKey] | None = None

    async def signing_key(self, now: datetime) -> SigningKey:
        """Return the key of the day."""
        day = _day(now)
        if self._current is None or self._current[0] != day:
            document = await self._views.get(PARTITION, day) or await self._made(day)
            self._current = (day, await self._opened(document))
        return self._current[1]

    async def public_keys(self, now: datetime) -> list[PublicKey]:
        """Return the keys that tokens of now may be signed with."""
        oldest = _day(now, -KEPT_DAYS)
        documents = await self._views.listing(PARTITION, after=oldest)
        return [msgspec.json.decode(document.body, type=_Stored).public for document in documents]

    async def _made(self, day: str) -> Document:
        kid = f"{int(day)}-{secrets.token_hex(8)}"
        private = Ed25519PrivateKey.generate()
        sealed = await self._sealer.seal(OWN_KEY, _purpose(kid), private.private_bytes_raw())
        stored = _Stored(PublicKey(kid=kid, x=_base64url(private.public_key().public_bytes_raw())), sealed)
        put = Put(partition=PARTITION, id=day, body=msgspec.json.encode(stored), if_match=ABSENT)
        with contextlib.suppress(DocumentConflict):  # another replica has made it
            await self._views.write([put, *await self._outdated(day)])
        return await self._found(day)

    async def _found(self, day: str) -> Document:
        document = await self._views.get(PARTITION, day)
        if document is None:
            raise LookupError(f"the session key of day {day} went away while it was made")
        return document

    async def _outdated(self, day: str) -> list[Remove]:
        oldest = f"{int(day) - KEPT_DAYS:08d}"
        documents = await self._views.listing(PARTITION)
        return [Remove(partition=PARTITION, id=document.id) for document in documents if document.id <= oldest]

    async def _opened(self, document: Document) -> SigningKey:
        stored = msgspec.json.decode(document.body, type=_Stored)
        secret = await self._sealer.open(OWN_KEY, _purpose(stored.public.kid), stored.sealed)
        return SigningKey(stored.public.kid, Ed25519PrivateKey.from_private_bytes(secret))


def _day(moment: datetime, offset: int = 0) -> str:
    return f"{int(moment.timestamp()) // _DAY_S + offset:08d}"


def _purpose(kid: str) -> str:
    return f"session key {kid}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
