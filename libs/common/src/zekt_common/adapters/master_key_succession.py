"""One master key in place of another: the former only unwraps, until nothing is wrapped under it any more."""

from collections.abc import Collection, Sequence

from zekt_common.adapters.key_wrapping import Generation, MasterKey, WrongMasterKey


class SucceedingMasterKey:
    """Wraps as the newer master key does, and unwraps as both do."""

    def __init__(self, newer: MasterKey, former: MasterKey) -> None:
        self._newer = newer
        self._former = former

    async def wrap(self, secret: bytes, binding: bytes, /) -> tuple[str, bytes]:
        """Wrap under the newer one; see `MasterKey.wrap`."""
        return await self._newer.wrap(secret, binding)

    async def unwrap(self, generation: str, wrapped: bytes, binding: bytes, /) -> bytes:
        """Unwrap under the former one, or else the newer; see `MasterKey.unwrap`."""
        try:
            return await self._former.unwrap(generation, wrapped, binding)
        except WrongMasterKey:
            return await self._newer.unwrap(generation, wrapped, binding)

    async def check(self) -> None:
        """Pass if both can be used; see `MasterKey.check`."""
        await self._former.check()
        await self._newer.check()

    async def generations(self) -> Sequence[Generation]:
        """Return those of both, the newer one's last; see `MasterKey.generations`."""
        return [*await self._former.generations(), *await self._newer.generations()]

    async def renew(self) -> None:
        """Add a generation to the newer one; see `MasterKey.renew`."""
        await self._newer.renew()

    async def retire(self, names: Collection[str], /) -> None:
        """Drop generations of the newer one alone; see `MasterKey.retire`."""
        await self._newer.retire({each.name for each in await self._newer.generations()}.intersection(names))
