"""How identity takes what GitHub answers to sign-ins: in pieces, without end, or, for a crowd, not at all."""

import asyncio
import json

import pytest
from aiohttp import web

from zekt_identity.github_app import GitHubUnavailable
from zekt_identity.github_oauth import MAX_ANSWER_BYTES
from zekt_identity.github_slots import SLOTS

from .raw_github import answering

TOKENS = json.dumps({"access_token": "ghu_in_pieces", "expires_in": 28_800}).encode()


async def test_an_answer_that_arrives_in_pieces_is_taken_whole() -> None:
    async def write(response: web.StreamResponse) -> None:
        for at in range(0, len(TOKENS), 7):
            await response.write(TOKENS[at : at + 7])
            await asyncio.sleep(0.001)  # each piece in a packet of its own

    async with answering(write) as (oauth, _):
        assert (await oauth.refresh("ghr_old")).access_token == "ghu_in_pieces"


async def test_an_answer_without_end_is_given_up() -> None:
    async def write(response: web.StreamResponse) -> None:
        for _ in range(8 * MAX_ANSWER_BYTES // 65_536):
            await response.write(b" " * 65_536)

    async with answering(write) as (oauth, _):
        with pytest.raises(GitHubUnavailable, match="makes no sense"):
            await oauth.refresh("ghr_old")


async def test_an_answer_in_no_encoding_is_none() -> None:
    async def write(response: web.StreamResponse) -> None:
        await response.write(b'{"access_token": "\xff"}')

    async with answering(write) as (oauth, _):
        with pytest.raises(GitHubUnavailable, match="makes no sense"):
            await oauth.refresh("ghr_old")


async def test_of_a_crowd_none_calls_once_github_is_known_to_fail() -> None:
    crowded = asyncio.Event()

    async def write(_response: web.StreamResponse) -> None:
        if len(calls) == SLOTS:
            crowded.set()
        await crowded.wait()

    async with answering(write, lambda: 502) as (oauth, calls):
        crowd = (oauth.person(f"ghu_{number}") for number in range(1_000))
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        assert all(isinstance(outcome, GitHubUnavailable) for outcome in outcomes)
        assert len(calls) == SLOTS
