"""From the images of the commit before to this one's and back, service by service, under load through the gateway."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.commands import WANTED
from tests.containers.composed import Composed, composition
from tests.containers.images import SERVICES, TAG, TAG_BEFORE, build
from tests.upgrade.previous import wanted_sources

pytestmark = [
    pytest.mark.skipif(not WANTED, reason="containers: `make test-containers` runs them, where a Docker engine is"),
    pytest.mark.timeout(2400),
]
ORDER = ("identity", "router", "dispatcher", "ingress")


@pytest.fixture
def before(images: None, tmp_path: Path) -> Iterator[Composed]:
    """The suite on the images of the commit before."""
    del images
    build(TAG_BEFORE, wanted_sources(tmp_path, ()), SERVICES)
    with composition(tmp_path, TAG_BEFORE) as started:
        yield started


def test_an_upgrade_and_its_rollback_under_load_refuse_nothing_and_lose_nothing(before: Composed) -> None:
    before.inside("onboard")
    with before.under_load() as load:
        for service in ORDER:
            before.recreate(service, TAG)
        for service in reversed(ORDER):
            before.recreate(service, TAG_BEFORE)
    found = load.result()
    print(found)
    assert found["acknowledged"] > 100
    assert (set(found["messages"]), set(found["webhooks"])) == ({"200"}, {"202"})
    assert found["missing"] == 0
    assert set(found["repeated"]) <= set(before.inside("ambiguous"))
