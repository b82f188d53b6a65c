import asyncio
import hashlib
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.embedded import Backend
from zekt_common.errors import KeyDestroyed, PayloadNotFound
from zekt_common.ports.payloads import RETENTION

DAY_S = 24 * 3600


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\x00\xff" * 10, b'{"workflow_run": 1}' * 1000, secrets.token_bytes(3_000_000)],
    ids=["empty", "small", "binary", "webhook", "large"],
)
async def test_what_is_put_is_what_is_got(backend: Backend, clock: Any, content: bytes) -> None:
    ref = await backend.payloads.put(7, content)
    assert (ref.account_id, ref.sha256) == (7, hashlib.sha256(content).hexdigest())
    assert (ref.size_bytes, ref.expires_at) == (len(content), clock() + RETENTION)
    assert await backend.payloads.get(7, ref.sha256) == content


async def test_new_content_can_be_referred_to_before_it_is_put(backend: Backend) -> None:
    ref = await backend.payloads.reference(7, b"x", retention=timedelta(days=3))
    with pytest.raises(PayloadNotFound):
        await backend.payloads.get(7, ref.sha256)
    assert await backend.payloads.put(7, b"x", retention=timedelta(days=3)) == ref


async def test_nothing_of_an_erased_account_can_be_referred_to(backend: Backend) -> None:
    await backend.payloads.put(7, b"x")
    await backend.keys.destroy(7)
    with pytest.raises(KeyDestroyed):
        await backend.payloads.reference(7, b"y")


async def test_a_payload_belongs_to_its_account(backend: Backend) -> None:
    ref = await backend.payloads.put(7, b"ours")
    with pytest.raises(PayloadNotFound):
        await backend.payloads.get(8, ref.sha256)
    await backend.payloads.put(8, b"ours")
    await backend.keys.destroy(7)
    assert await backend.payloads.get(8, ref.sha256) == b"ours"


@pytest.mark.parametrize("sha256", ["", "0" * 64, "zz", "../../etc/passwd", "é", "A" * 10_000])
async def test_an_unknown_hash_is_not_found(backend: Backend, sha256: str) -> None:
    await backend.payloads.put(7, b"x")
    with pytest.raises(PayloadNotFound):
        await backend.payloads.get(7, sha256)


async def test_a_repeated_put_extends_the_expiry_and_never_shortens_it(backend: Backend, clock: Any) -> None:
    ref = await backend.payloads.put(7, b"x", retention=timedelta(days=10))
    clock.advance(5 * DAY_S)
    shorter = await backend.payloads.put(7, b"x", retention=timedelta(days=1))
    assert shorter == ref
    longer = await backend.payloads.put(7, b"x", retention=timedelta(days=10))
    assert longer.expires_at == clock() + timedelta(days=10)
    clock.advance(9 * DAY_S)
    assert await backend.payloads.get(7, ref.sha256) == b"x"


async def test_an_expired_payload_is_gone_until_it_is_put_again(backend: Backend, clock: Any) -> None:
    ref = await backend.payloads.put(7, b"x", retention=timedelta(days=1))
    clock.advance(DAY_S)
    with pytest.raises(PayloadNotFound):
        await backend.payloads.get(7, ref.sha256)
    again = await backend.payloads.put(7, b"x", retention=timedelta(days=1))
    assert again.expires_at == clock() + timedelta(days=1)
    assert await backend.payloads.get(7, ref.sha256) == b"x"


async def test_a_purge_deletes_what_has_expired_and_nothing_else(backend: Backend, clock: Any) -> None:
    kept = await backend.payloads.put(7, b"kept", retention=timedelta(days=2))
    for n in range(20):
        await backend.payloads.put(7, b"%d" % n, retention=timedelta(days=1))
    assert await backend.payloads.purge() == 0
    clock.advance(DAY_S + 1)
    assert await backend.payloads.purge() == 20
    assert await backend.payloads.purge() == 0
    assert await backend.payloads.get(7, kept.sha256) == b"kept"


async def test_destroying_the_key_erases_the_payloads(backend: Backend) -> None:
    ref = await backend.payloads.put(7, b"x")
    await backend.keys.destroy(7)
    with pytest.raises(PayloadNotFound):
        await backend.payloads.get(7, ref.sha256)
    with pytest.raises(KeyDestroyed):
        await backend.payloads.put(7, b"x")


async def test_concurrent_puts_of_equal_and_different_content_all_arrive(backend: Backend) -> None:
    contents = [b"%d" % (n // 2) * 500 for n in range(64)]
    refs = await asyncio.gather(*(backend.payloads.put(n % 3, content) for n, content in enumerate(contents)))
    for ref, content in zip(refs, contents, strict=True):
        assert await backend.payloads.get(ref.account_id, ref.sha256) == content


async def test_payloads_outlive_the_process(open_engine: Any, tmp_path: Path, clock: Any) -> None:
    async with open_engine(tmp_path, clock) as backend:
        ref = await backend.payloads.put(7, b"x")
    async with open_engine(tmp_path, clock) as backend:
        assert await backend.payloads.get(7, ref.sha256) == b"x"
