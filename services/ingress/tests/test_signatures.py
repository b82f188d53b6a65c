import hashlib
import hmac

import pytest

from zekt_common.auth.webhook_secrets import repository_secret
from zekt_ingress.signatures import (
    HookTarget,
    SignatureRefused,
    TargetRefused,
    WebhookVerifier,
    check_repository,
)

APP = HookTarget("integration", 7)
REPOSITORY = HookTarget("repository", 42)
OLD_KEY, NEW_KEY = b"o" * 32, b"n" * 32
BODY = b'{"action":"completed"}'
DERIVED = "faaa2a0c188408ea6ad63f1ac3f15f4e4444abf77cbf2eeae579eff67bac2f6c"


def signed(secret: str, body: bytes = BODY) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verifier() -> WebhookVerifier:
    return WebhookVerifier(app_id=7, app_secrets=["old", "new"], master_keys=[OLD_KEY, NEW_KEY])


@pytest.mark.parametrize("secret", ["old", "new"])
def test_every_active_secret_of_the_app_counts(secret: str) -> None:
    assert verifier().verify(BODY, signed(secret), APP) == BODY


@pytest.mark.parametrize("key", [OLD_KEY, NEW_KEY])
def test_every_generation_of_a_repository_secret_counts(key: bytes) -> None:
    assert verifier().verify(BODY, signed(repository_secret(key, 42)), REPOSITORY) == BODY


@pytest.mark.parametrize("size", [0, 1, 2046, 2047, 2048, 4094, 19_000])
def test_a_body_of_any_size_verifies_whole(size: int) -> None:
    body = bytes(index % 251 for index in range(size))
    assert verifier().verify(body, signed("new", body), APP) == body
    if size:
        with pytest.raises(SignatureRefused):
            verifier().verify(body[:-1] + bytes([body[-1] ^ 1]), signed("new", body), APP)


def test_githubs_own_example_verifies() -> None:
    body, secret = b"Hello, World!", "It's a Secret to Everybody"
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert WebhookVerifier(app_id=7, app_secrets=[secret], master_keys=[]).verify(body, signature, APP) == body


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        signed("other"),
        signed("new", BODY + b" "),
        signed("new")[:-1],
        signed("new") + "0",
        signed("new").removeprefix("sha256="),
        "sha1=" + hmac.new(b"new", BODY, hashlib.sha1).hexdigest(),
        "sha256=" + "ä" * 64,
        "sha256=" + "\udcff" * 64,
        "sha256=" + " " * 64,
        "sha256=" + "٣" * 64,
        "SHA256=" + signed("new")[7:],
    ],
)
def test_any_other_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(SignatureRefused):
        verifier().verify(BODY, signature, APP)


def test_a_repository_secret_opens_no_other_repository_and_no_app() -> None:
    signature = signed(repository_secret(NEW_KEY, 42))
    for target in (HookTarget("repository", 43), HookTarget("integration", 42), APP, HookTarget("organization", 42)):
        with pytest.raises(SignatureRefused):
            verifier().verify(BODY, signature, target)


def test_without_secrets_everything_is_refused() -> None:
    closed = WebhookVerifier(app_id=None, app_secrets=[], master_keys=[])
    for target in (APP, REPOSITORY):
        with pytest.raises(SignatureRefused):
            closed.verify(BODY, signed(""), target)


def test_a_hook_of_another_app_is_refused_although_it_is_signed() -> None:
    with pytest.raises(TargetRefused):
        verifier().verify(BODY, signed("new"), HookTarget("integration", 8))


@pytest.mark.parametrize("repository_id", [43, None])
def test_a_repository_hook_may_not_report_about_another_repository(repository_id: int | None) -> None:
    with pytest.raises(TargetRefused):
        check_repository(REPOSITORY, repository_id)


def test_a_repository_hook_reports_about_its_own_and_an_app_about_any() -> None:
    check_repository(REPOSITORY, 42)
    check_repository(APP, 43)
    check_repository(APP, None)


def test_a_derived_secret_never_changes() -> None:
    assert repository_secret(b"k" * 32, 42) == DERIVED
