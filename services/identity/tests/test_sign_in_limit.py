"""What counts as one caller where nobody is known yet."""

import pytest

from zekt_identity.sign_in_limit import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_a_caller_is_counted_by_network(address: str, network: str) -> None:
    assert network_of(address) == network
