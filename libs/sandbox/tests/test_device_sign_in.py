from typing import Any
from urllib.parse import urlencode

import pytest

from zekt_sandbox import GitHubSandbox

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def octocat(sandbox: GitHubSandbox) -> None:
    sandbox.create_user("octocat")


async def open_device(sandbox: GitHubSandbox, caller: Any) -> dict[str, Any]:
    path = f"/login/device/code?client_id={sandbox.client_id}"
    return dict((await caller.call("POST", path, headers=JSON)).json)


async def poll(sandbox: GitHubSandbox, caller: Any, device_code: str) -> dict[str, Any]:
    asked = {"client_id": sandbox.client_id, "device_code": device_code, "grant_type": GRANT}
    form = urlencode(asked).encode()
    answer = await caller.call("POST", "/login/oauth/access_token", raw=form, headers={**FORM, **JSON})
    assert answer.status == 200
    return dict(answer.json)


async def type_in(caller: Any, **form: str) -> Any:
    return await caller.call("POST", "/login/device", raw=urlencode(form).encode(), headers=FORM)


async def test_a_device_gets_a_code_for_itself_and_one_to_show(sandbox: GitHubSandbox, caller: Any) -> None:
    opened = await open_device(sandbox, caller)
    assert len(opened["device_code"]) == 40
    assert (len(opened["user_code"]), opened["user_code"][4]) == (9, "-")
    assert opened["verification_uri"] == f"{sandbox.url}/login/device"
    assert (opened["expires_in"], opened["interval"]) == (900, 5)


async def test_a_device_waits_until_a_person_types_its_code_in(sandbox: GitHubSandbox, caller: Any) -> None:
    opened = await open_device(sandbox, caller)
    assert (await poll(sandbox, caller, opened["device_code"]))["error"] == "authorization_pending"
    page = await caller.call("GET", "/login/device")
    assert "<option>octocat</option>" in page.text
    answer = await type_in(caller, user_code=opened["user_code"].lower(), login="octocat", authorize="1")
    assert "connected" in answer.text
    sandbox.advance_clock(5)
    token = (await poll(sandbox, caller, opened["device_code"]))["access_token"]
    assert (await caller.call("GET", "/user", credential=token)).json["login"] == "octocat"
    assert (await poll(sandbox, caller, opened["device_code"]))["error"] == "incorrect_device_code"


async def test_a_device_that_polls_too_often_is_slowed_down(sandbox: GitHubSandbox, caller: Any) -> None:
    opened = await open_device(sandbox, caller)
    errors = [await poll(sandbox, caller, opened["device_code"]) for _ in range(3)]
    assert [one["error"] for one in errors] == ["authorization_pending", "slow_down", "slow_down"]
    assert [one.get("interval") for one in errors] == [None, 10, 15]
    sandbox.advance_clock(14)
    assert (await poll(sandbox, caller, opened["device_code"]))["interval"] == 20
    sandbox.advance_clock(20)
    assert (await poll(sandbox, caller, opened["device_code"]))["error"] == "authorization_pending"


async def test_a_device_code_expires_after_fifteen_minutes(sandbox: GitHubSandbox, caller: Any) -> None:
    opened = await open_device(sandbox, caller)
    sandbox.advance_clock(900)
    assert (await poll(sandbox, caller, opened["device_code"]))["error"] == "expired_token"
    assert (await type_in(caller, user_code=opened["user_code"], login="octocat", authorize="1")).status == 404


async def test_a_person_can_decline(sandbox: GitHubSandbox, caller: Any) -> None:
    opened = await open_device(sandbox, caller)
    assert "not let in" in (await type_in(caller, user_code=opened["user_code"], login="octocat", authorize="0")).text
    assert (await poll(sandbox, caller, opened["device_code"]))["error"] == "access_denied"
    assert (await type_in(caller, user_code=opened["user_code"], login="octocat", authorize="1")).status == 404


@pytest.mark.parametrize(("user_code", "login"), [("AAAA-AAAA", "octocat"), ("", "octocat"), ("AAAA-AAAA", "acme")])
async def test_a_wrong_code_or_a_stranger_is_not_found(caller: Any, user_code: str, login: str) -> None:
    assert (await type_in(caller, user_code=user_code, login=login, authorize="1")).status == 404


async def test_only_the_app_opens_a_device_flow_and_only_when_it_is_enabled(
    sandbox: GitHubSandbox, caller: Any
) -> None:
    other = await caller.call("POST", "/login/device/code?client_id=other", headers=JSON)
    assert other.json["error"] == "incorrect_client_credentials"
    sandbox.set_device_flow(enabled=False)
    assert (await open_device(sandbox, caller))["error"] == "device_flow_disabled"


async def test_a_device_refreshes_without_a_client_secret(sandbox: GitHubSandbox, caller: Any) -> None:
    opened = await open_device(sandbox, caller)
    sandbox.answer_device(opened["user_code"], "octocat")
    pair = await poll(sandbox, caller, opened["device_code"])
    asked = {"client_id": sandbox.client_id, "grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    answer = await caller.call("POST", f"/login/oauth/access_token?{urlencode(asked)}", headers=JSON)
    assert answer.json["access_token"].startswith("ghu_")


async def test_a_device_can_be_let_in_by_a_control(sandbox: GitHubSandbox, caller: Any) -> None:
    assert (await caller.call("PUT", "/_sandbox/device_flow", body={"interval_s": 1})).status == 204
    opened = await open_device(sandbox, caller)
    assert opened["interval"] == 1
    typed = {"user_code": opened["user_code"], "login": "octocat"}
    assert (await caller.call("POST", "/_sandbox/device", body=typed)).status == 204
    assert "access_token" in await poll(sandbox, caller, opened["device_code"])
    assert (await caller.call("POST", "/_sandbox/device", body=typed)).status == 404
