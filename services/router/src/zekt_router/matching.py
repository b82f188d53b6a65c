"""A catalog at one version, and which subscriptions a workflow's runs concern."""

import bisect
from collections import defaultdict

from zekt_router.catalog_model import Catalog, Service, Subscription
from zekt_router.run_model import PAGE_SIZE


class CatalogAt:
    """An account's catalog at `version`; subscriptions are grouped once, when first asked for."""

    __slots__ = ("_by_workflow", "catalog", "version")

    def __init__(self, catalog: Catalog, version: int) -> None:
        self.catalog = catalog
        self.version = version
        self._by_workflow: dict[tuple[int, str], list[Subscription]] | None = None

    def page(self, repository_id: int, workflow_path: str, after: str) -> list[Subscription]:
        """Return up to 100 subscriptions to services of this workflow, in order of id, those above `after`."""
        if self._by_workflow is None:
            self._by_workflow = _group(self.catalog)
        every = self._by_workflow.get((repository_id, workflow_path.partition("@")[0]), [])
        start = bisect.bisect_right(every, after, key=_id)
        return every[start : start + PAGE_SIZE]

    def service_of(self, subscription: Subscription) -> Service:
        """Return the service that a subscription of a page is to."""
        return self.catalog.services[subscription.service_slug]


def _group(catalog: Catalog) -> dict[tuple[int, str], list[Subscription]]:
    groups: dict[tuple[int, str], list[Subscription]] = defaultdict(list)
    for subscription in catalog.subscriptions.values():
        service = catalog.services.get(subscription.service_slug)
        if service is not None and service.workflow_path is not None:
            groups[service.repository_id, service.workflow_path].append(subscription)
    for group in groups.values():
        group.sort(key=_id)
    return dict(groups)


def _id(subscription: Subscription) -> str:
    return subscription.subscription_id
