"""The token endpoint gives tokens to who proves to be an application, and says what Entra ID says to others."""

from typing import Any

import aiohttp
import jwt
import pytest

from zekt_sandbox.entra import EntraSandbox

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
POD = "system:serviceaccount:zekt:router"


async def ask(http: aiohttp.ClientSession, sandbox: EntraSandbox, **form: str) -> tuple[int, dict[str, Any]]:
    whole = {"grant_type": "client_credentials", "scope": f"api://{sandbox.api_id}/.default"} | form
    url = f"{sandbox.url}/{sandbox.tenant_id}/oauth2/v2.0/token"
    async with http.post(url, data={name: value for name, value in whole.items() if value}) as answer:
        return answer.status, await answer.json()


async def verified(http: aiohttp.ClientSession, sandbox: EntraSandbox, token: str) -> dict[str, Any]:
    """The claims of a token, verified by what discovery leads to."""
    async with http.get(f"{sandbox.url}/{sandbox.tenant_id}/v2.0/.well-known/openid-configuration") as answer:
        jwks_uri = (await answer.json())["jwks_uri"]
    async with http.get(jwks_uri) as answer:
        keys = jwt.PyJWKSet.from_dict(await answer.json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})


async def test_a_secret_earns_a_token_of_version_2(http: aiohttp.ClientSession, sandbox: EntraSandbox) -> None:
    application = sandbox.register("Tokens.Installation")
    status, answer = await ask(http, sandbox, client_id=application.client_id, client_secret=application.secret)
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 3599)
    claims = await verified(http, sandbox, answer["access_token"])
    assert claims["iss"] == f"{sandbox.url}/{sandbox.tenant_id}/v2.0"
    assert (claims["aud"], claims["ver"], claims["azp"]) == (sandbox.api_id, "2.0", application.client_id)
    assert claims["oid"] == claims["sub"] == application.object_id
    assert (claims["roles"], claims["tid"]) == (["Tokens.Installation"], sandbox.tenant_id)


async def test_an_api_of_version_1_is_called_as_it_was_asked_for(
    http: aiohttp.ClientSession, sandbox: EntraSandbox
) -> None:
    sandbox.token_version = "1.0"
    application = sandbox.register()
    for audience in (sandbox.api_id, f"api://{sandbox.api_id}"):
        proof = {"client_id": application.client_id, "client_secret": application.secret}
        _, answer = await ask(http, sandbox, scope=f"{audience}/.default", **proof)
        claims = await verified(http, sandbox, answer["access_token"])
        assert (claims["aud"], claims["ver"], claims["appid"]) == (audience, "1.0", application.client_id)
        assert claims["iss"] == f"https://sts.windows.net/{sandbox.tenant_id}/"
        assert "roles" not in claims


async def test_a_pods_token_stands_in_for_a_secret(http: aiohttp.ClientSession, sandbox: EntraSandbox) -> None:
    application = sandbox.register("Tokens.Installation")
    sandbox.federate(application.client_id, POD)
    form = {"client_id": application.client_id, "client_assertion_type": ASSERTION}
    status, answer = await ask(http, sandbox, client_assertion=sandbox.pod_token(POD), **form)
    assert status == 200, answer


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_secret": "wrong"}, (401, "invalid_client", 7000215)),
        ({"client_secret": ""}, (401, "invalid_client", 7000218)),
        ({"client_id": "unheard-of"}, (400, "unauthorized_client", 700016)),
        ({"scope": "https://graph.microsoft.com/.default"}, (400, "invalid_resource", 500011)),
        ({"scope": "Tokens.Installation"}, (400, "invalid_scope", 1002012)),
        ({"scope": ""}, (400, "invalid_scope", 1002012)),
        ({"grant_type": "password"}, (400, "unsupported_grant_type", 70003)),
    ],
)
async def test_a_form_that_does_not_convince_is_refused(
    http: aiohttp.ClientSession, sandbox: EntraSandbox, changes: dict[str, str], expected: tuple[int, str, int]
) -> None:
    application = sandbox.register()
    honest = {"client_id": application.client_id, "client_secret": application.secret}
    status, answer = await ask(http, sandbox, **(honest | changes))
    assert (status, answer["error"], answer["error_codes"][0]) == expected
    assert application.secret not in str(answer)


async def test_another_tenant_is_unknown(http: aiohttp.ClientSession, sandbox: EntraSandbox) -> None:
    async with http.post(f"{sandbox.url}/common/oauth2/v2.0/token") as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_tenant")


@pytest.mark.parametrize(
    ("claims", "number"),
    [
        ({"forgery": "foreign_key"}, 70021),
        ({"forgery": "unknown_kid"}, 700027),
        ({"forgery": "none"}, 70021),
        ({"forgery": "hs256"}, 70021),
        ({"aud": "https://kubernetes.default.svc"}, 70021),
        ({"iss": "https://another-cluster.test"}, 70021),
        ({"exp": 1}, 700024),
        ({"sub": "system:serviceaccount:zekt:other"}, 700213),
    ],
)
async def test_a_pods_token_that_is_not_the_federated_one_is_refused(
    http: aiohttp.ClientSession, sandbox: EntraSandbox, claims: dict[str, Any], number: int
) -> None:
    application = sandbox.register()
    sandbox.federate(application.client_id, POD)
    form = {"client_id": application.client_id, "client_assertion_type": ASSERTION}
    status, answer = await ask(http, sandbox, client_assertion=sandbox.pod_token(POD, **claims), **form)
    assert (status, answer["error"], answer["error_codes"]) == (401, "invalid_client", [number])


async def test_an_application_without_federation_takes_no_pods_token(
    http: aiohttp.ClientSession, sandbox: EntraSandbox
) -> None:
    form = {"client_id": sandbox.register().client_id, "client_assertion_type": ASSERTION}
    for assertion in (sandbox.pod_token(POD), sandbox.pod_token(""), "garbage"):
        status, _ = await ask(http, sandbox, client_assertion=assertion, **form)
        assert status == 401


async def test_keys_are_rotated_and_retired(http: aiohttp.ClientSession, sandbox: EntraSandbox) -> None:
    application = sandbox.register()
    old = sandbox.mint(application.client_id)
    sandbox.rotate_keys()
    assert await verified(http, sandbox, old)
    assert await verified(http, sandbox, sandbox.mint(application.client_id))
    sandbox.rotate_keys(retire_old=True)
    with pytest.raises(KeyError):
        await verified(http, sandbox, old)
