"""What an indexing policy lets ORDER BY use: filters fall back to a scan in the service, ordering does not."""

import re
from collections.abc import Sequence
from typing import Any

from zekt_sandbox.cosmos.errors import bad_request
from zekt_sandbox.cosmos.sql.select import Ordering

_ALWAYS_INDEXED = ("id", "_ts")
_EXCLUDED = "The index path corresponding to the specified order-by item is excluded."
_NO_COMPOSITE = "The order by query does not have a corresponding composite index that it can be served from."


def require_index(policy: dict[str, Any], order: Sequence[Ordering]) -> None:
    """Let a query order by this.

    Raises:
        CosmosError: 400, a path is excluded, or several paths have no composite index.
    """
    if not order:
        return
    wanted = [(_path(by.source), by.descending) for by in order]
    if len(wanted) == 1:
        if not _is_indexed(policy, wanted[0][0]):
            raise bad_request(_EXCLUDED)
    elif not any(_serves(index, wanted) for index in policy.get("compositeIndexes") or ()):
        raise bad_request(_NO_COMPOSITE)


def _path(source: str) -> str:
    """An ORDER BY expression's path without its alias."""
    return "/".join(re.findall(r"\w+", source)[1:])


def _is_indexed(policy: dict[str, Any], path: str) -> bool:
    if path in _ALWAYS_INDEXED:
        return True
    included, excluded = (
        max((_precision(each["path"], path) for each in policy.get(kind) or ()), default=0)
        for kind in ("includedPaths", "excludedPaths")
    )
    return included > excluded


def _precision(pattern: str, path: str) -> int:
    """How closely a policy's pattern names a path; 0 if it does not. The most precise pattern decides."""
    *steps, wildcard = pattern.replace('"', "").strip("/").split("/")
    names = path.split("/")
    if wildcard == "?":
        return 2 * len(steps) + 2 if steps == names else 0
    return 2 * len(steps) + 1 if names[: len(steps)] == steps else 0


def _serves(index: list[dict[str, str]], wanted: list[tuple[str, bool]]) -> bool:
    held = [(each["path"].strip("/"), each.get("order", "ascending") == "descending") for each in index]
    return wanted in (held, [(path, not descending) for path, descending in held])
