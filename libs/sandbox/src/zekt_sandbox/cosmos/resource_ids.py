"""The service's own ids: `_rid` paths and ETags."""

import base64
import itertools
import secrets
import struct

_PROCESS = secrets.token_hex(4)
_VERSIONS = itertools.count(1)


def resource_id(database: int, container: int | None = None, item: int | None = None) -> str:
    """The `_rid` of a database, a container in it or an item in that."""
    packed = struct.pack(">I", database)
    if container is not None:
        packed += struct.pack(">I", 0x80000000 | container)
    if item is not None:
        packed += struct.pack(">Q", item)
    return base64.b64encode(packed).decode().replace("/", "-")


def new_etag() -> str:
    """An ETag that no other version of anything has, quotes included."""
    return f'"{_PROCESS}-{next(_VERSIONS):012x}"'
