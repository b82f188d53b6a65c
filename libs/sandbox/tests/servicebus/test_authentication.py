import base64
import hmac
import ssl
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage as Message
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusAuthenticationError, ServiceBusError
from libs.sandbox.tests.servicebus.conftest import EMPTY, FAST
from libs.sandbox.tests.servicebus.entra import Credential

from zekt_sandbox.servicebus import AUDIENCE, DEFAULT_KEY, KEY_NAME, ServiceBusSandbox, serving
from zekt_sandbox.servicebus.amqp.performatives import AmqpError
from zekt_sandbox.servicebus.tokens import Authorizer

ONCE = {**FAST, "retry_total": 0}
NAMESPACE = "zekt.servicebus.windows.net"

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def secure(tls: ssl.SSLContext) -> AsyncIterator[ServiceBusSandbox]:
    async with serving(EMPTY, tls=tls, token_audience=AUDIENCE) as running:
        running.namespace.add_topic("t").subscribe("s")
        yield running


async def send(client: ServiceBusClient, topic: str = "t") -> None:
    async with client, client.get_topic_sender(topic) as sender:
        await sender.send_messages(Message("x"))


def by_token(sandbox: ServiceBusSandbox, credential: Any, certificate: tuple[Path, Path]) -> ServiceBusClient:
    options: dict[str, Any] = {"custom_endpoint_address": sandbox.endpoint, "connection_verify": str(certificate[0])}
    return ServiceBusClient(NAMESPACE, credential, **options, **ONCE)


def sas(resource: str, *, key: str = DEFAULT_KEY, lifetime_s: float = 60, name: str = KEY_NAME) -> str:
    """A token as the SDK makes them."""
    expiry, quoted = str(int(time.time() + lifetime_s)), quote_plus(resource)
    signature = base64.b64encode(hmac.digest(key.encode(), f"{quoted}\n{expiry}".encode(), "sha256"))
    return f"SharedAccessSignature sr={quoted}&sig={quote_plus(signature)}&se={expiry}&skn={name}"


async def test_a_token_of_entra_id_is_taken_over_tls_and_what_it_says_recorded(
    secure: ServiceBusSandbox, certificate: tuple[Path, Path]
) -> None:
    credential = Credential()
    await send(by_token(secure, credential, certificate))
    assert secure.namespace.topic("t").received == 1
    assert set(credential.scopes) == {"https://servicebus.azure.net//.default"}
    assert {(claims["aud"], claims["oid"]) for claims in secure.token_claims} == {(AUDIENCE, "workload")}


@pytest.mark.parametrize(
    "credential",
    [Credential(audience="https://management.azure.com/"), Credential(lifetime_s=-60)],
    ids=["another audience", "expired"],
)
async def test_other_tokens_of_entra_id_are_refused(
    secure: ServiceBusSandbox, certificate: tuple[Path, Path], credential: Credential
) -> None:
    with pytest.raises(ServiceBusError):  # to a custom endpoint, the SDK does not say that it was the token
        await send(by_token(secure, credential, certificate))
    assert secure.namespace.topic("t").received == 0
    assert secure.token_claims[0]["aud"] == credential.audience


async def test_the_key_is_taken_over_tls_as_well(secure: ServiceBusSandbox, certificate: tuple[Path, Path]) -> None:
    connection = f"Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName={KEY_NAME};SharedAccessKey={secure.key}"
    options: dict[str, Any] = {"custom_endpoint_address": secure.endpoint, "connection_verify": str(certificate[0])}
    await send(ServiceBusClient.from_connection_string(connection, **options, **ONCE))
    assert secure.namespace.topic("t").received == 1
    assert secure.token_claims == []


async def test_a_wrong_key_is_refused(sandbox: ServiceBusSandbox) -> None:
    sandbox.namespace.add_topic("t")
    wrong = sandbox.connection_string.replace(sandbox.key, "d3Jvbmc=")
    with pytest.raises(ServiceBusAuthenticationError):
        await send(ServiceBusClient.from_connection_string(wrong, **ONCE))


async def test_entra_id_is_refused_unless_an_audience_is_configured(
    tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    async with serving(EMPTY, tls=tls) as sandbox:
        sandbox.namespace.add_topic("t")
        with pytest.raises(ServiceBusError):
            await send(by_token(sandbox, Credential(), certificate))
        assert sandbox.token_claims == []


async def test_a_key_of_the_user_s_own_is_used() -> None:
    async with serving(EMPTY, key="b3du") as sandbox:
        sandbox.namespace.add_topic("t")
        await send(ServiceBusClient.from_connection_string(sandbox.connection_string, **ONCE))
        assert sandbox.namespace.topic("t").received == 1


async def test_a_token_for_one_topic_does_not_open_another(sandbox: ServiceBusSandbox) -> None:
    sandbox.namespace.add_topic("t")
    sandbox.namespace.add_topic("other")
    connection = f"Endpoint={sandbox.endpoint};SharedAccessSignature={sas(f'{sandbox.endpoint}/t')};"
    client = ServiceBusClient.from_connection_string(f"{connection}UseDevelopmentEmulator=true;", **ONCE)
    async with client:
        with pytest.raises(ServiceBusError):
            await send(client, "other")
    assert sandbox.namespace.topic("other").received == 0


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (partial(sas, "sb://host/t", key="another"), "InvalidSignature"),
        (partial(sas, "sb://host/t", name="another"), "InvalidSignature"),
        (partial(sas, "sb://host/t", lifetime_s=-1), "ExpiredToken"),
        (partial(sas, "sb://host/t/Subscriptions/s"), "InvalidAudience"),
        (partial(sas, "sb://host/tt"), "InvalidAudience"),
        (lambda: "SharedAccessSignature sr=x", "InvalidSignature"),
        (lambda: "SharedAccessSignature", "without Entra ID"),
        (lambda: "", "without Entra ID"),
    ],
)
async def test_what_proves_nothing_is_refused(token: Callable[[], str], reason: str) -> None:
    with pytest.raises(AmqpError, match=reason):
        Authorizer(DEFAULT_KEY).check(token(), "sb://host/t")


async def test_a_token_opens_what_is_below_its_resource() -> None:
    authorizer = Authorizer(DEFAULT_KEY)
    authorizer.check(sas("sb://host"), "sb://host/t")
    authorizer.check(sas("sb://host/t"), "amqps://host/T/Subscriptions/s")


async def test_what_is_no_jwt_is_refused() -> None:
    with pytest.raises(AmqpError, match="no JWT"):
        Authorizer(DEFAULT_KEY, AUDIENCE).check("not.a.token", "sb://host/t")
