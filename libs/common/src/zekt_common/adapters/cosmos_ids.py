"""Ids as Cosmos DB takes them: it refuses some characters, and a URL swallows others.

The encoding is reversible and keeps the order, so that a listing in order of the encoded ids is one of the plain ids.
Each character that cannot stand gives way to a permitted one just below it and two digits; those permitted ones are
escaped likewise, which is what keeps the order.
"""

import re
from typing import Final

BOUND: Final = "!0"
"""Every encoded id sorts at or above this; ids below are free for the adapters' own documents."""

_ESCAPES: Final = (
    {chr(code): f"!{code:02x}" for code in range(0x22)}
    | {character: f'"{ord(character):02x}' for character in '"#'}
    | {character: f".{ord(character):02x}" for character in "./"}
    | {character: f">{ord(character):02x}" for character in ">?"}
    | {character: f"[{ord(character):02x}" for character in "[\\"}
)
_TABLE: Final = str.maketrans(_ESCAPES)
_ESCAPED: Final = re.compile(r'[!".>\[]([0-9a-f]{2})')


def encode_id(id_: str) -> str:
    """Return the id of the Cosmos item for this document id."""
    return id_.translate(_TABLE)


def decode_id(encoded: str) -> str:
    """Return the document id that was encoded."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), encoded)
