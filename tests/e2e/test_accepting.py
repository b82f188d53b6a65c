"""What `/accepting` asks of each service: what its doors need, and never the bus."""

from collections import defaultdict

from zekt_common.kit.host import Hosted

DOORS_NEED = {
    "ingress": {"catalog", "database", "payloads", "keys", "store"},
    "identity": {"github_app", "views", "database", "keys"},
    "router": {"accounts", "views", "database"},
    "dispatcher": {"views", "database", "payloads", "keys"},
}


async def test_each_service_accepts_by_what_its_doors_need_and_is_ready_by_more(hosted: Hosted) -> None:
    accepting, ready = await hosted.acceptance(), await hosted.readiness()
    assert accepting.status == "accepting"
    needed: dict[str, set[str]] = defaultdict(set)
    for check in accepting.checks:
        service, _, name = check.name.partition(".")
        needed[service].add(name)
    assert needed == DOORS_NEED
    asked = {check.name for check in ready.checks}
    assert asked > {check.name for check in accepting.checks}
    assert asked >= {f"{service}.bus" for service in DOORS_NEED}
