"""Tests that would starve each other, or share what is made once, are kept in one of the workers."""

import os

import pytest

pytestmark = pytest.mark.xdist_group("groups")


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="there are no workers")
def test_the_group_of_a_test_is_known_to_who_hands_it_out(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@groups")
