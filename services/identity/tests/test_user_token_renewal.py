"""What the vault makes of GitHub's answers to a renewal: a pair is forgotten only if GitHub says that it is spent."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from zekt_common.adapters.embedded import open_backend
from zekt_identity.account import key_of
from zekt_identity.github_app import GitHubUnavailable
from zekt_identity.github_oauth import GitHubOAuth, UserTokens
from zekt_identity.sealing import Sealer
from zekt_identity.user_tokens import SignInNeeded, StoredTokens, UserTokenVault

from .conftest import MovableClock
from .raw_github import answering

RENEWED = {"access_token": "ghu_new", "expires_in": 28_800, "refresh_token": "ghr_new"}


class Answers:
    """GitHub's answers to renewals, one for all until it is changed."""

    status = 200
    body: Any = RENEWED

    async def write(self, response: web.StreamResponse) -> None:
        await response.write(json.dumps(self.body).encode())


@asynccontextmanager
async def vault_of(data_dir: Path, oauth: GitHubOAuth) -> AsyncIterator[tuple[UserTokenVault, Sealer]]:
    """Give a vault that holds a pair of account 1 whose first half ends now, and what it is sealed by."""
    clock = MovableClock()
    async with open_backend(data_dir, "identity") as backend:
        sealer = Sealer(backend.keys)
        vault = UserTokenVault(backend.views, sealer, oauth, clock=clock)
        ending = UserTokens(
            access_token="ghu_old",
            expires_at=clock(),
            refresh_token="ghr_old",
            refresh_expires_at=clock() + timedelta(days=1),
        )
        await vault.keep(1, key_of(1, 1), StoredTokens(login="octocat", tokens=ending))
        yield vault, sealer


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"error": "incorrect_client_credentials"}),
        (200, {"error": "unsupported_grant_type"}),
        (200, {}),
        (401, {"message": "Bad credentials"}),
        (403, {"message": "Forbidden"}),
        (422, {"message": "Validation Failed"}),
        (502, {}),
    ],
)
async def test_a_renewal_that_fails_for_another_reason_leaves_the_pair_to_the_next_one(
    tmp_path: Path, status: int, body: Any
) -> None:
    answers = Answers()
    async with answering(answers.write, lambda: answers.status) as (oauth, _), vault_of(tmp_path, oauth) as (vault, _):
        answers.status, answers.body = status, body
        with pytest.raises(GitHubUnavailable):
            await vault.usable(1)
        answers.status, answers.body = 200, RENEWED
        assert (await vault.usable(1)).tokens.access_token == "ghu_new"


async def test_a_pair_that_github_calls_spent_is_forgotten(tmp_path: Path) -> None:
    answers = Answers()
    answers.body = {"error": "bad_refresh_token"}
    async with answering(answers.write) as (oauth, calls), vault_of(tmp_path, oauth) as (vault, _):
        for _ in range(2):
            with pytest.raises(SignInNeeded):
                await vault.usable(1)
        assert len(calls) == 1


async def test_a_renewal_that_an_erasure_overtakes_means_signing_in_again(tmp_path: Path) -> None:
    answers = Answers()

    async def write(response: web.StreamResponse) -> None:
        await sealer.erase(key_of(1, 1))
        await answers.write(response)

    async with answering(write) as (oauth, _), vault_of(tmp_path, oauth) as (vault, sealer):
        with pytest.raises(SignInNeeded):
            await vault.usable(1)
