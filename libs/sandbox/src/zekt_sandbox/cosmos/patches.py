"""Partial updates: the operations of a PATCH, applied in order to a copy."""

import copy
from typing import Any

from zekt_sandbox.cosmos.errors import bad_request

_MAX_OPERATIONS = 10
_SYSTEM = ("_rid", "_self", "_etag", "_ts", "_attachments")


def patched(body: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """The item after all operations, without the service's own properties.

    Raises:
        CosmosError: 400, too many operations, an unknown one, or a path that leads nowhere.
    """
    if len(operations) > _MAX_OPERATIONS:
        raise bad_request("The number of patch operations can't exceed '10'.")
    result = copy.deepcopy({name: value for name, value in body.items() if name not in _SYSTEM})
    for operation in operations:
        _apply(result, operation)
    return result


def _apply(body: dict[str, Any], operation: dict[str, Any]) -> None:
    kind, path = str(operation.get("op")).lower(), str(operation.get("path"))
    *parents, leaf = path.strip("/").split("/")
    target: Any = body
    try:
        for step in parents:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if isinstance(target, list):
            _apply_to_list(target, kind, leaf, operation.get("value"))
        else:
            _apply_to_object(target, kind, leaf, operation.get("value"))
    except (KeyError, IndexError, TypeError, ValueError):
        raise bad_request(f"cannot {kind} at the path {path}") from None


def _apply_to_list(target: list[Any], kind: str, leaf: str, value: Any) -> None:
    index = len(target) if leaf == "-" else int(leaf)
    match kind:
        case "add":
            target.insert(index, value)
        case "set" | "replace":
            target[index] = value
        case "incr" | "increment":
            target[index] += value
        case "remove":
            del target[index]
        case _:
            raise ValueError(kind)


def _apply_to_object(target: dict[str, Any], kind: str, leaf: str, value: Any) -> None:
    if kind in ("replace", "remove") and leaf not in target:
        raise KeyError(leaf)
    match kind:
        case "add" | "set" | "replace":
            target[leaf] = value
        case "incr" | "increment":
            target[leaf] = target.get(leaf, 0) + value
        case "remove":
            del target[leaf]
        case _:
            raise ValueError(kind)
