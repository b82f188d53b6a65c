"""The master key in Key Vault: what is asked of the vault, for whom, and what becomes of its refusals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from libs.common.tests.azure.identity import Certificate, RecordingCredential
from libs.common.tests.azure.vault import ELSEWHERE, KEY, URL, certify_vault, connected_to, serving_vault

from tests.ports import free_port
from zekt_common.adapters.key_cache import FRESH_S, UNWRAPPED_S
from zekt_common.adapters.key_wrapping import WrongMasterKey
from zekt_common.adapters.keyvault_master_key import WORKED_S, KeyVaultMasterKey, VaultConnection, open_vault_key
from zekt_common.adapters.master_key import troubles_of
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_keys import KEY_TABLES, SqliteKeyRecords
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.errors import BackendRefused, BackendUnavailable, StorageUnusable
from zekt_sandbox.keyvault import RESOURCE, KeyVaultSandbox

SECRET, BINDING = b"s" * 32, b"account 7"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certify_vault(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def vault(certificate: Certificate) -> AsyncIterator[KeyVaultSandbox]:
    async with serving_vault(certificate) as sandbox:
        sandbox.add_version(KEY)
        yield sandbox


@pytest.fixture
async def connection(vault: KeyVaultSandbox, certificate: Certificate) -> AsyncIterator[VaultConnection]:
    async with connected_to(vault.port, certificate.path) as made:
        yield made


@pytest.fixture
async def key(connection: VaultConnection) -> AsyncIterator[KeyVaultMasterKey]:
    async with open_vault_key(connection) as opened:
        yield opened


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "keys.db", KEY_TABLES, secure_delete=True)
    yield opened
    await opened.close()


async def test_the_vault_is_given_a_token_for_key_vault_once_it_has_asked(
    vault: KeyVaultSandbox, certificate: Certificate
) -> None:
    credential = RecordingCredential()
    async with connected_to(vault.port, certificate.path, credential) as connection, open_vault_key(connection):
        pass
    assert set(credential.scopes) == {f"{RESOURCE}/.default"}
    assert {claims["aud"] for claims in vault.token_claims} == {RESOURCE}


async def test_a_token_that_is_meant_for_another_is_refused(vault: KeyVaultSandbox, certificate: Certificate) -> None:
    credential = RecordingCredential(audience="https://graph.microsoft.com")
    async with connected_to(vault.port, certificate.path, credential) as connection:
        with pytest.raises(BackendRefused, match="ZEKT_KEYVAULT_URL: the vault does not take our token"):
            await AsyncExitStack().enter_async_context(open_vault_key(connection))


async def test_no_token_is_asked_for_what_is_no_vault_of_that_name(
    vault: KeyVaultSandbox, certificate: Certificate
) -> None:
    credential = RecordingCredential()
    async with connected_to(vault.port, certificate.path, credential, url=f"https://{ELSEWHERE}") as connection:
        with pytest.raises(BackendRefused, match="ZEKT_KEYVAULT_URL: what answers there is not that Key Vault"):
            await AsyncExitStack().enter_async_context(open_vault_key(connection))
    assert credential.scopes == []
    assert vault.token_claims == []


async def test_what_one_version_wrapped_opens_under_a_newer_one(key: KeyVaultMasterKey) -> None:
    first, wrapped = await key.wrap(SECRET, BINDING)
    await key.renew()
    second, wrapped_again = await key.wrap(SECRET, BINDING)
    assert first.startswith(f"{URL}/keys/{KEY}/")
    assert [generation.name for generation in await key.generations()] == [first, second]
    assert await key.unwrap(first, wrapped, BINDING) == await key.unwrap(second, wrapped_again, BINDING) == SECRET


async def test_the_vault_unwraps_and_never_sees_what_is_wrapped(vault: KeyVaultSandbox, key: KeyVaultMasterKey) -> None:
    before = vault.requests.copy()
    generation, wrapped = await key.wrap(SECRET, BINDING)
    await key.unwrap(generation, wrapped, BINDING)
    asked = vault.requests - before
    assert (asked["wrapkey"], asked["unwrapkey"]) == (0, 1)


async def test_what_is_bound_to_one_account_does_not_open_for_another(key: KeyVaultMasterKey) -> None:
    generation, wrapped = await key.wrap(SECRET, BINDING)
    with pytest.raises(WrongMasterKey, match="another account"):
        await key.unwrap(generation, wrapped, b"account 8")


@pytest.mark.parametrize(
    "generation", ["", "0123456789abcdef", f"{URL}/keys/another/0123", f"{URL}/secrets/{KEY}/0123", f"{URL}/keys/{KEY}"]
)
async def test_what_no_version_of_the_key_wrapped_is_not_asked_for(
    vault: KeyVaultSandbox, key: KeyVaultMasterKey, generation: str
) -> None:
    before = vault.requests.total()
    with pytest.raises(WrongMasterKey, match="is none of the key master"):
        await key.unwrap(generation, b"wrapped", BINDING)
    assert vault.requests.total() == before


async def test_a_version_that_is_gone_or_another_does_not_open(key: KeyVaultMasterKey) -> None:
    generation, wrapped = await key.wrap(SECRET, BINDING)
    await key.renew()
    another = (await key.generations())[-1].name
    for name in (f"{URL}/keys/{KEY}/0123", another):
        with pytest.raises(WrongMasterKey, match="does not open it"):
            await key.unwrap(name, wrapped, BINDING)
    assert await key.unwrap(generation, wrapped, BINDING) == SECRET


async def test_a_vault_that_has_moved_opens_what_it_wrapped(key: KeyVaultMasterKey) -> None:
    generation, wrapped = await key.wrap(SECRET, BINDING)
    assert await key.unwrap(generation.replace("zekt.vault", "before.vault"), wrapped, BINDING) == SECRET


async def test_a_retired_version_is_disabled_and_opens_nothing(vault: KeyVaultSandbox, key: KeyVaultMasterKey) -> None:
    generation, wrapped = await key.wrap(SECRET, BINDING)
    await key.renew()
    await key.retire([generation])
    assert [version.enabled for version in vault.versions(KEY)] == [False, True]
    assert generation not in [each.name for each in await key.generations()]
    with pytest.raises(BackendRefused, match=r"ZEKT_KEYVAULT_URL: the vault forbids this: .* the key to be enabled"):
        await key.unwrap(generation, wrapped, BINDING)


async def test_a_vault_without_the_key_is_named_at_start(connection: VaultConnection) -> None:
    with pytest.raises(BackendUnavailable, match="ZEKT_KEYVAULT_URL: the vault needs an RSA key called absent"):
        await AsyncExitStack().enter_async_context(open_vault_key(replace(connection, key="absent")))


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ({"kind": "error", "status": 429, "retry_after_s": 0}, BackendUnavailable, "is throttling us"),
        ({"kind": "error", "status": 403}, BackendRefused, "Key Vault Crypto Service Encryption User"),
        ({"kind": "error", "status": 503}, BackendUnavailable, "cannot answer now (status 503)"),
        ({"kind": "drop_before"}, BackendUnavailable, "cannot be reached"),
    ],
)
async def test_what_the_vault_refuses_is_one_line_with_the_setting(
    vault: KeyVaultSandbox, key: KeyVaultMasterKey, fault: dict[str, Any], error: type[Exception], says: str
) -> None:
    generation, wrapped = await key.wrap(SECRET, BINDING)
    vault.faults.add(**fault, operation="unwrapkey", count=None)
    with pytest.raises(error) as refused:
        await key.unwrap(generation, wrapped, BINDING)
    assert str(refused.value).startswith("ZEKT_KEYVAULT_URL: the vault ")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error", "status": 429, "retry_after_s": 1},
        {"kind": "error", "status": 503},
        {"kind": "drop_before"},
        {"kind": "drop_after"},
    ],
)
async def test_what_passes_is_waited_for(vault: KeyVaultSandbox, key: KeyVaultMasterKey, fault: dict[str, Any]) -> None:
    generation, wrapped = await key.wrap(SECRET, BINDING)
    vault.faults.add(**fault, operation="unwrapkey", count=2)
    assert await key.unwrap(generation, wrapped, BINDING) == SECRET


async def test_readiness_says_why_once_the_vault_has_not_answered_for_a_while(
    vault: KeyVaultSandbox, connection: VaultConnection
) -> None:
    now = 0.0
    async with open_vault_key(connection) as opened:
        key = KeyVaultMasterKey(opened.client, KEY, monotonic=lambda: now)
        await key.check()
        fault = vault.faults.add("error", status=403, count=None)
        now = WORKED_S - 1
        assert await troubles_of(key) == []
        now = WORKED_S
        [trouble] = await troubles_of(key)
        assert trouble.startswith("ZEKT_KEYVAULT_URL: the vault forbids this")
        vault.faults.active.remove(fault)
        assert await troubles_of(key) == []


async def test_a_vault_out_of_reach_is_named(certificate: Certificate) -> None:
    async with connected_to(free_port(), certificate.path) as connection:
        with pytest.raises(BackendUnavailable, match="ZEKT_KEYVAULT_URL: the vault cannot be reached"):
            await AsyncExitStack().enter_async_context(open_vault_key(connection))


async def test_many_who_want_a_key_ask_the_vault_once(
    vault: KeyVaultSandbox, key: KeyVaultMasterKey, database: SqliteDatabase
) -> None:
    await WrappedKeys(SqliteKeyRecords(database), key).data_key(7)
    before = vault.requests["unwrapkey"]
    keys = WrappedKeys(SqliteKeyRecords(database), key)
    await asyncio.gather(*(keys.data_key(7) for _ in range(1000)))
    assert vault.requests["unwrapkey"] == before + 1


async def test_a_key_in_use_is_read_again_and_not_unwrapped_again(
    vault: KeyVaultSandbox, key: KeyVaultMasterKey, database: SqliteDatabase
) -> None:
    now = 0.0
    keys = WrappedKeys(SqliteKeyRecords(database), key, monotonic=lambda: now)
    made = await keys.data_key(7)
    unwrapped = vault.requests["unwrapkey"]
    for now in (FRESH_S, 2 * FRESH_S, UNWRAPPED_S - 1):  # noqa: B007 - read by the clock
        assert await keys.data_key(7) == made
    assert vault.requests["unwrapkey"] == unwrapped
    now = UNWRAPPED_S + FRESH_S
    assert await keys.data_key(7) == made
    assert vault.requests["unwrapkey"] == unwrapped + 1


async def test_a_key_in_use_outlives_an_outage_of_the_vault(
    vault: KeyVaultSandbox, key: KeyVaultMasterKey, database: SqliteDatabase
) -> None:
    now = 0.0
    keys = WrappedKeys(SqliteKeyRecords(database), key, monotonic=lambda: now)
    made = await keys.data_key(7)
    vault.faults.add("error", status=503, count=None)
    now = UNWRAPPED_S - 1
    assert await keys.data_key(7) == made
    now = UNWRAPPED_S + FRESH_S
    with pytest.raises(StorageUnusable, match="ZEKT_KEYVAULT_URL"):
        await keys.data_key(7)
    vault.faults.clear()
    assert await keys.data_key(7) == made
