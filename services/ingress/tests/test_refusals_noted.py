"""Whoever is turned away at the doors for machines leaves an event, under a code that never quotes what was sent."""

from typing import Any

import pytest

from zekt_common.auth.webhook_secrets import repository_secret

from .conftest import MASTER_KEY, REPOSITORY_ID, Running, Sender
from .message_checks import DISHONEST


@pytest.mark.parametrize("options", DISHONEST, ids=str)
async def test_a_token_that_is_not_to_be_believed(running: Running, run_id: int, options: dict[str, Any]) -> None:
    token = running.sandbox.mint_oidc_token(run_id, **options)
    assert (await running.message(run_id, Authorization=f"Bearer {token}")).status == 401
    assert await running.refusals() == {("unknown", "token_refused")}


async def test_a_message_for_anothers_repository(running: Running, run_id: int) -> None:
    assert (await running.message(run_id, {"repository": "acme/other"})).status == 403
    assert await running.refusals() == {(f"repository/{REPOSITORY_ID}", "another_repository")}


async def test_a_message_of_a_repository_that_nobody_has_enabled(running: Running, run_id: int) -> None:
    token = running.sandbox.mint_oidc_token(run_id, claims={"repository_id": "5"})
    assert (await running.message(run_id, Authorization=f"Bearer {token}")).status == 404
    assert await running.refusals() == {("repository/5", "repository_not_enabled")}


async def test_what_is_only_malformed_is_no_attack(running: Running, run_id: int) -> None:
    assert (await running.message(run_id, {"eventType": ""})).status == 400
    assert await running.refusals() == set()


async def test_a_forged_webhook(running: Running, sender: Sender) -> None:
    forged = sender.hook("not the secret", "integration", running.sandbox.app_id)
    assert (await sender.send(await sender.completed(), forged)).status == 401
    assert await running.refusals() == {("unknown", "signature_refused")}


async def test_a_hook_that_speaks_for_anothers_repository_or_app(running: Running, sender: Sender) -> None:
    foreign_repository = sender.hook(repository_secret(MASTER_KEY, 5), "repository", 5)
    foreign_app = sender.hook(running.sandbox.webhook_secret, "integration", running.sandbox.app_id + 1)
    for hook in (foreign_repository, foreign_app):
        assert (await sender.send(await sender.completed(), hook)).status == 403
    assert await running.refusals() == {
        ("repository/5", "hook_target_refused"),
        ("unknown", "hook_target_refused"),
    }
