import stat
import sys
from asyncio import create_subprocess_exec, gather, subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from zekt_common.auth.operator import check_operator, ensure_operator_token
from zekt_common.auth.refusals import RoleMissing, TokenRefused
from zekt_common.auth.service_tokens import EmbeddedIssuer, EmbeddedTokens
from zekt_common.auth.service_verifier import ServiceCaller, ServiceTokenVerifier
from zekt_common.auth.verified_tokens import Verified, VerifiedTokens
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity import TOKENS_INSTALLATION
from zekt_common.errors import StorageUnusable
from zekt_common.kit.errors import Refusal

ROLES = (TOKENS_INSTALLATION,)


def verifier(data_dir: Path, clock: Clock = utc_now) -> ServiceTokenVerifier:
    return ServiceTokenVerifier(EmbeddedIssuer(data_dir), clock=clock)


async def test_a_minted_token_is_believed_by_another_process_of_the_directory(tmp_path: Path) -> None:
    token = EmbeddedIssuer(tmp_path / "data").mint(service="dispatcher", roles=ROLES)
    caller = await verifier(tmp_path / "data").verify(f"Bearer {token}", role=TOKENS_INSTALLATION)
    assert (caller.service, caller.roles) == ("dispatcher", frozenset(ROLES))
    assert stat.S_IMODE((tmp_path / "data/service-issuer.key").stat().st_mode) == 0o600


async def test_a_service_has_a_token_of_its_own_for_each_call(tmp_path: Path) -> None:
    tokens = EmbeddedTokens(EmbeddedIssuer(tmp_path), service="router", roles=ROLES)
    caller = await verifier(tmp_path).verify(f"Bearer {await tokens.token()}", role=TOKENS_INSTALLATION)
    assert caller == ServiceCaller("router", frozenset(ROLES))


async def test_a_token_without_the_role_is_forbidden(tmp_path: Path) -> None:
    token = EmbeddedIssuer(tmp_path).mint(service="router", roles=())
    with pytest.raises(RoleMissing) as missing:
        await verifier(tmp_path).verify(f"Bearer {token}", role=TOKENS_INSTALLATION)
    assert missing.value.status == 403


async def test_a_token_lives_five_minutes(tmp_path: Path) -> None:
    now = [datetime(2026, 5, 1, tzinfo=UTC)]
    issuer = EmbeddedIssuer(tmp_path, clock=lambda: now[0])
    judge = ServiceTokenVerifier(issuer, clock=lambda: now[0])
    header = f"Bearer {issuer.mint(service='router', roles=ROLES)}"
    now[0] += timedelta(minutes=5, seconds=4)
    assert (await judge.verify(header, role=TOKENS_INSTALLATION)).service == "router"
    now[0] += timedelta(seconds=1)
    with pytest.raises(TokenRefused):
        await judge.verify(header, role=TOKENS_INSTALLATION)


async def test_a_token_is_verified_once_and_judged_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer, verified, verify = EmbeddedIssuer(tmp_path), list[str](), jwt.decode

    def counted(token: str, *given: Any, **options: Any) -> Any:
        verified.append(token)
        return verify(token, *given, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    judge = ServiceTokenVerifier(issuer)
    header = f"Bearer {issuer.mint(service='router', roles=ROLES)}"
    for _ in range(3):
        assert (await judge.verify(header, role=TOKENS_INSTALLATION)).service == "router"
    with pytest.raises(RoleMissing):
        await judge.verify(header, role="Tokens.Other")
    assert len(verified) == 1


async def test_what_was_verified_by_a_key_that_is_no_more_counts_no_more(tmp_path: Path) -> None:
    before, after = EmbeddedIssuer(tmp_path / "before"), EmbeddedIssuer(tmp_path / "after")
    judge = ServiceTokenVerifier(before)
    header = f"Bearer {before.mint(service='router', roles=ROLES)}"
    await judge.verify(header, role=TOKENS_INSTALLATION)
    judge._issuer = after  # noqa: SLF001 - as if the key had been replaced
    with pytest.raises(TokenRefused):
        await judge.verify(header, role=TOKENS_INSTALLATION)


def test_only_the_tokens_used_last_are_remembered() -> None:
    remembered = VerifiedTokens(capacity=2)
    for token in ("a", "b"):
        remembered.keep(token, Verified(None, "key", {"sub": token}))
    assert remembered.get("a")
    remembered.keep("c", Verified(None, "key", {"sub": "c"}))
    assert [remembered.get(token) is not None for token in ("a", "b", "c")] == [True, False, True]


async def test_foreign_and_malformed_tokens_are_refused_alike(tmp_path: Path) -> None:
    honest = EmbeddedIssuer(tmp_path / "ours").mint(service="router", roles=ROLES)
    key = load_pem_private_key((tmp_path / "ours/service-issuer.key").read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    claims = jwt.decode(honest, options={"verify_signature": False})
    judge = verifier(tmp_path / "ours")
    for header in (
        None,
        "Bearer garbage",
        f"Bearer {EmbeddedIssuer(tmp_path / 'theirs').mint(service='router', roles=ROLES)}",
        f"Bearer {jwt.encode(claims, '', algorithm='none')}",
        f"Bearer {jwt.encode(claims, 's' * 32, algorithm='HS256')}",
        f"Bearer {jwt.encode(claims | {'iss': 'other'}, key, algorithm='EdDSA')}",
        f"Bearer {jwt.encode(claims | {'aud': 'api://zekt'}, key, algorithm='EdDSA')}",
        f"Bearer {jwt.encode(claims | {'aud': ['api://zekt-identity']}, key, algorithm='EdDSA')}",
        f"Bearer {jwt.encode(claims | {'roles': 'Tokens.Installation'}, key, algorithm='EdDSA')}",
        f"Bearer {jwt.encode(claims | {'sub': ''}, key, algorithm='EdDSA')}",
        f"Bearer {honest[:-4]}AAAA",
    ):
        with pytest.raises(TokenRefused) as refused:
            await judge.verify(header, role=TOKENS_INSTALLATION)
        assert refused.value.detail == "The service token is not accepted."
    assert (await judge.verify(f"Bearer {honest}", role=TOKENS_INSTALLATION)).service == "router"


def write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def test_a_key_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    write_private(tmp_path / "service-issuer.key", b"nonsense")
    with pytest.raises(StorageUnusable, match=r"service-issuer\.key holds no Ed25519 private key"):
        EmbeddedIssuer(tmp_path).mint(service="router", roles=())


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_processes_that_race_for_the_first_key_agree(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from zekt_common.auth.service_tokens import EmbeddedIssuer;"
        "print(EmbeddedIssuer(pathlib.Path(sys.argv[1])).mint(service='x', roles=['r']))"
    )

    async def mint() -> str:
        process = await create_subprocess_exec(sys.executable, "-c", script, str(tmp_path), stdout=subprocess.PIPE)
        return (await process.communicate())[0].decode().strip()

    for token in await gather(*(mint() for _ in range(4))):
        assert (await verifier(tmp_path).verify(f"Bearer {token}", role="r")).service == "x"
    assert names_in(tmp_path) == ["service-issuer.key"]


def test_the_operator_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    token = ensure_operator_token(tmp_path)
    assert ensure_operator_token(tmp_path) == token
    assert len(token) >= 32
    assert stat.S_IMODE((tmp_path / "operator.token").stat().st_mode) == 0o600


def test_an_empty_operator_token_opens_nothing(tmp_path: Path) -> None:
    write_private(tmp_path / "operator.token", b"\n")
    with pytest.raises(StorageUnusable, match=r"operator\.token holds no operator token"):
        ensure_operator_token(tmp_path)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.8.8"])
def test_the_operator_is_let_in_from_loopback(peer: str) -> None:
    check_operator("t" * 43, {"Authorization": "Bearer " + "t" * 43}, peer)
    with pytest.raises(TokenRefused):
        check_operator("t" * 43, {"Authorization": "Bearer " + "x" * 43}, peer)


@pytest.mark.parametrize("peer", ["10.0.0.1", "192.168.1.5", "::ffff:10.0.0.1", "2001:db8::1", None, ""])
def test_nobody_else_is_the_operator_even_with_the_token(peer: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        check_operator("t" * 43, {"Authorization": "Bearer " + "t" * 43}, peer)
    assert refused.value.status == 403


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageUnusable, match=r"file/operator\.token can be neither read nor created"):
        ensure_operator_token(tmp_path / "file")
