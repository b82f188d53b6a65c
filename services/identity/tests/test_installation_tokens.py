import asyncio
import hashlib
import json
import logging
from typing import Any

import pytest
import structlog
from gidgethub.apps import get_jwt

from zekt_common.contracts.identity import InstallationTokenRequest
from zekt_common.kit.identity_client import TokensRefused, TokensUnavailable
from zekt_sandbox import GitHubSandbox

CONTENTS = {"contents": "write"}
TOKEN_CALLS = "/app/installations/*/access_tokens"


def asked(repository_id: int, **changes: Any) -> InstallationTokenRequest:
    fields: dict[str, Any] = {
        "installation_id": 72,
        "repository_ids": [repository_id],
        "permissions": CONTENTS,
        "purpose": "dispatch",
    }
    return InstallationTokenRequest(**(fields | changes))


def repository_id(sandbox: GitHubSandbox, full_name: str) -> int:
    return sandbox.update_repository(full_name).id


@pytest.fixture
def consumer(sandbox: GitHubSandbox) -> int:
    return repository_id(sandbox, "beta/consumer")


async def test_a_token_by_ids_opens_that_repository_and_no_other(
    identity: Any, sandbox: GitHubSandbox, consumer: int
) -> None:
    sandbox.update_installation(72, repositories=["beta/consumer", "beta/other"])
    token = await identity.client.token(asked(consumer))
    assert (token.installation_id, token.repository_ids) == (72, [consumer])
    assert token.account_id == sandbox.installation(72).account.id
    statuses = []
    for name in ("beta/consumer", "beta/other"):
        headers = {"Authorization": f"Bearer {token.token}"}
        body = {"event_type": "deployment"}
        url = f"{sandbox.url}/repos/{name}/dispatches"
        async with identity.http.post(url, json=body, headers=headers) as response:
            statuses.append(response.status)
    assert statuses == [204, 404]


async def test_a_token_by_name_brings_the_ids(identity: Any, sandbox: GitHubSandbox, consumer: int) -> None:
    token = await identity.client.token(
        InstallationTokenRequest(repository="Beta/Consumer", permissions={"metadata": "read"}, purpose="resolve")
    )
    assert (token.installation_id, token.repository_ids) == (72, [consumer])
    assert token.account_id == sandbox.installation(72).account.id


async def test_a_token_is_kept_until_five_minutes_before_it_expires(identity: Any, consumer: int) -> None:
    first = await identity.client.token(asked(consumer))
    assert await identity.client.token(asked(consumer)) == first
    other = await identity.client.token(asked(consumer, permissions={"metadata": "read"}))
    assert other.token != first.token


async def test_a_thousand_look_ups_at_once_make_one_call(identity: Any, sandbox: GitHubSandbox, consumer: int) -> None:
    calls = sandbox.add_fault("slow", path=TOKEN_CALLS, count=None, delay_s=0.3)
    tokens = await asyncio.gather(*(identity.client.token(asked(consumer)) for _ in range(1000)))
    assert len({token.token for token in tokens}) == 1
    assert calls.taken == 1


async def test_a_rejected_token_is_replaced_once(identity: Any, sandbox: GitHubSandbox, consumer: int) -> None:
    first = await identity.client.token(asked(consumer))
    sandbox.revoke_tokens()
    rejected = hashlib.sha256(first.token.encode()).hexdigest()
    calls = sandbox.add_fault("slow", path=TOKEN_CALLS, count=None)
    again = await asyncio.gather(*(identity.client.token(asked(consumer, rejected_sha256=rejected)) for _ in range(20)))
    assert {token.token for token in again}.isdisjoint({first.token})
    assert calls.taken == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"installation_id": 999}, "installation_not_found"),
        ({"repository_ids": [1]}, "repository_not_in_installation"),
        ({"permissions": {"actions": "read"}}, "permission_not_granted"),
        ({"permissions": {"administration": "write"}}, "permission_not_allowed"),
        ({"permissions": {"contents": "read"}}, "permission_not_allowed"),
        ({"permissions": {}}, "invalid_request"),
        ({"repository_ids": []}, "invalid_request"),
        ({"installation_id": None}, "invalid_request"),
        ({"installation_id": -1}, "invalid_request"),
        ({"repository_ids": list(range(1, 502))}, "invalid_request"),
        ({"repository": "beta/consumer"}, "invalid_request"),
        ({"installation_id": None, "repository_ids": [], "repository": "beta/../x"}, "invalid_request"),
        ({"installation_id": None, "repository_ids": [], "repository": "../.."}, "invalid_request"),
        ({"installation_id": None, "repository_ids": [], "repository": "beta"}, "invalid_request"),
        ({"installation_id": None, "repository_ids": [], "repository": "acme/provider"}, "installation_not_found"),
        ({"installation_id": None, "repository_ids": [], "repository": "nobody/nothing"}, "installation_not_found"),
        ({"rejected_sha256": "x"}, "invalid_request"),
    ],
)
async def test_what_github_or_our_rules_refuse_is_refused_with_its_code(
    identity: Any, sandbox: GitHubSandbox, consumer: int, changes: dict[str, Any], code: str
) -> None:
    sandbox.update_installation(72, permissions={"contents": "write"})
    with pytest.raises(TokensRefused) as refused:
        await identity.client.token(asked(consumer, **changes))
    assert refused.value.code == code
    assert refused.value.detail


async def test_a_suspended_installation_is_said_to_be(identity: Any, sandbox: GitHubSandbox, consumer: int) -> None:
    sandbox.update_installation(72, suspended=True)
    with pytest.raises(TokensRefused) as refused:
        await identity.client.token(asked(consumer))
    assert refused.value.code == "installation_suspended"


@pytest.mark.parametrize(
    ("fault", "retry_after_s"),
    [
        ({"kind": "error", "status": 502}, 5),
        ({"kind": "drop_before"}, 5),
        ({"kind": "secondary", "status": 403, "retry_after_s": 37}, 37),
        ({"kind": "secondary", "status": 429, "retry_after_s": 41}, 41),
    ],
)
async def test_when_github_cannot_answer_the_caller_is_told_when_to_ask_again(
    identity: Any, sandbox: GitHubSandbox, consumer: int, fault: dict[str, Any], retry_after_s: float
) -> None:
    sandbox.add_fault(path=TOKEN_CALLS, **fault)
    with pytest.raises(TokensUnavailable) as unavailable:
        await identity.client.token(asked(consumer))
    assert unavailable.value.retry_after_s == retry_after_s


async def test_a_rate_limit_leaves_github_alone_for_every_scope(
    identity: Any, sandbox: GitHubSandbox, consumer: int
) -> None:
    fault = sandbox.add_fault("secondary", path=TOKEN_CALLS, retry_after_s=30, count=None)
    for permissions in (CONTENTS, {"metadata": "read"}):
        with pytest.raises(TokensUnavailable):
            await identity.client.token(asked(consumer, permissions=permissions))
    assert fault.taken == 1


async def test_no_token_and_no_key_is_ever_logged(
    identity: Any, consumer: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logs:
        token = await identity.client.token(asked(consumer))
    assert [entry["event"] for entry in logs] == ["installation_token_fetched"]
    assert token.token not in json.dumps(logs) + caplog.text + repr(token)


async def test_only_services_with_the_role_are_answered(identity: Any) -> None:
    body = {"permissions": CONTENTS, "purpose": "x", "repository": "beta/consumer"}
    roleless = identity.issuer.mint(service="test", roles=["Other"])
    for authorization, status, code in (
        ("Bearer nonsense", 401, "token_refused"),
        (f"Bearer {roleless}", 403, "role_missing"),
        (None, 200, None),
    ):
        answered, headers, content = await identity.post(body, authorization)
        assert (answered, content.get("error")) == (status, code)
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"permissions": {}}', b'{"permissions":{},"purpose":"","x":1}'])
async def test_malformed_requests_are_refused(identity: Any, body: bytes) -> None:
    status, _, content = await identity.post(body)
    assert (status, content["error"]) == (400, "invalid_request")


async def test_the_door_is_on_the_internal_port_alone(identity: Any) -> None:
    async with identity.http.post(f"{identity.hosted.url}/internal/tokens/installation", json={}) as response:
        assert response.status == 404


async def test_an_app_jwt_is_nowhere_to_be_had(identity: Any, sandbox: GitHubSandbox) -> None:
    app_jwt = get_jwt(app_id=str(sandbox.app_id), private_key=sandbox.private_key_pem)
    status, _, content = await identity.post({}, f"Bearer {app_jwt}")
    assert (status, content["error"]) == (401, "token_refused")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"installation_id": 999}, "installation_not_found"),
        ({"repository_ids": [1]}, "repository_not_in_installation"),
    ],
)
async def test_what_is_outside_the_installation_is_not_found_and_that_is_noted(
    identity: Any, consumer: int, changes: dict[str, Any], code: str
) -> None:
    body = {"installation_id": 72, "repository_ids": [consumer], "permissions": CONTENTS, "purpose": "attack"}
    status, _, told = await identity.post(body | changes)
    assert (status, told["error"]) == (404, code)
    assert ("POST /internal/tokens/installation", code, 0) in await identity.refusals()
