"""Where a call comes from: the peer's word for itself, and a trusted proxy's for others."""

from collections.abc import AsyncIterator
from ipaddress import ip_network

import aiohttp
import pytest
from aiohttp import web

from zekt_common.auth.origin import UNKNOWN, network_of, origin_of
from zekt_common.auth.requirements import Public
from zekt_common.errors import SettingsError
from zekt_common.kit.endpoint import routed
from zekt_common.kit.errors import json_response
from zekt_common.kit.life import Life, Phase
from zekt_common.kit.service import Route
from zekt_common.kit.settings import EnvironmentReader, HostSettings, Network

GATEWAY = ip_network("127.0.0.1/32")
BALANCERS = ip_network("198.51.100.0/24")
ITSELF = "127.0.0.0/24"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def origin(http: aiohttp.ClientSession, trusted: tuple[Network, ...], *forwarded: str) -> str:
    """Return where a call from this machine with these headers seems to come from."""

    async def handle(request: web.Request) -> web.Response:
        return json_response(origin_of(request))

    route = Route(method="GET", path="/", handler=handle, requires=Public())
    life = Life()
    life.enter(Phase.RUNNING)
    runner = web.AppRunner(routed([route], life, trusted_proxies=trusted))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        headers = [("X-Forwarded-For", value) for value in forwarded]
        async with http.get(f"http://127.0.0.1:{runner.addresses[0][1]}/", headers=headers) as response:
            told: str = await response.json()
            return told
    finally:
        await runner.cleanup()


async def test_nobodys_word_counts_unless_a_setting_says_whose(http: aiohttp.ClientSession) -> None:
    assert await origin(http, (), "203.0.113.9") == ITSELF
    assert await origin(http, (BALANCERS,), "203.0.113.9") == ITSELF


@pytest.mark.parametrize(
    ("forwarded", "network"),
    [
        (["203.0.113.9"], "203.0.113.0/24"),
        (["203.0.113.9:4711"], "203.0.113.0/24"),
        (["2001:db8:1:2::9"], "2001:db8:1::/48"),
        (["[2001:db8:1:2::9]:4711"], "2001:db8:1::/48"),
        (["::ffff:203.0.113.9"], "203.0.113.0/24"),
        (["203.0.113.9, 198.51.100.7"], "203.0.113.0/24"),
        (["203.0.113.9", "198.51.100.7"], "203.0.113.0/24"),
        (["203.0.113.9, ::ffff:198.51.100.7"], "203.0.113.0/24"),
        ([], ITSELF),
        ([""], ITSELF),
        (["198.51.100.7"], "198.51.100.0/24"),
    ],
)
async def test_a_trusted_proxy_says_whose_call_it_passes_on(
    http: aiohttp.ClientSession, forwarded: list[str], network: str
) -> None:
    assert await origin(http, (GATEWAY, BALANCERS), *forwarded) == network


@pytest.mark.parametrize("forged", ["127.0.0.1", "10.0.0.1", "198.51.100.7", "::1", "nonsense", ", ,"])
async def test_what_a_caller_forges_before_a_proxys_word_changes_nothing(
    http: aiohttp.ClientSession, forged: str
) -> None:
    assert await origin(http, (GATEWAY, BALANCERS), f"{forged}, 203.0.113.9") == "203.0.113.0/24"
    assert await origin(http, (GATEWAY, BALANCERS), forged, "203.0.113.9") == "203.0.113.0/24"


@pytest.mark.parametrize("written", ["nonsense", "203.0.113.9, nonsense", "_hidden", "203.0.113.9.1"])
async def test_a_proxys_word_that_is_no_address_is_nobodys(http: aiohttp.ClientSession, written: str) -> None:
    assert await origin(http, (GATEWAY,), written) == UNKNOWN


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_an_address_is_counted_by_its_network(address: str, network: str) -> None:
    assert network_of(address, ipv6_prefix=64) == network


def test_proxies_are_networks_or_the_setting_is_named() -> None:
    reader = EnvironmentReader({"ZEKT_TRUSTED_PROXIES": "127.0.0.1,10.244.0.0/16, 2001:db8::/32,"})
    assert [str(each) for each in HostSettings.read(reader).trusted_proxies] == [
        "127.0.0.1/32",
        "10.244.0.0/16",
        "2001:db8::/32",
    ]
    reader.check()


@pytest.mark.parametrize("value", ["gateway", "10.244.0.1/16", "10.0.0.0/8;127.0.0.1", "0.0.0.0/0", "::/0"])
def test_what_is_no_network_or_everybody_is_trusted_by_nobody(value: str) -> None:
    reader = EnvironmentReader({"ZEKT_TRUSTED_PROXIES": value})
    assert HostSettings.read(reader).trusted_proxies == ()
    with pytest.raises(SettingsError, match="ZEKT_TRUSTED_PROXIES must "):
        reader.check()
