"""Branch patterns as GitHub's filters write them: `*` is anything but a slash, `**` anything at all.

Matched in steps, not by regular expression, so that no pattern can take long: length of branch times length of pattern.
"""

import functools
import re
from collections.abc import Sequence

MAX_PATTERN_LENGTH = 255
_UNSUPPORTED = re.compile(r"[?\[\]!+\s]")
_PARTS = re.compile(r"\*\*|\*|[^*]")


def is_pattern(text: str) -> bool:
    """Return whether this is a pattern we understand; GitHub's `?`, `+`, `[]` and `!` are not."""
    return 0 < len(text) <= MAX_PATTERN_LENGTH and not _UNSUPPORTED.search(text)


def any_matches(patterns: Sequence[str], branch: str) -> bool:
    """Return whether the whole branch name matches one of the patterns."""
    return any(_matches(pattern, branch) for pattern in patterns)


@functools.lru_cache(maxsize=4096)
def _matches(pattern: str, branch: str) -> bool:
    parts = _PARTS.findall(pattern)
    reached = _through_wildcards({0}, parts)
    for character in branch:
        reached = _through_wildcards(_step(reached, parts, character), parts)
        if not reached:
            return False
    return len(parts) in reached


def _step(reached: set[int], parts: Sequence[str], character: str) -> set[int]:
    """Return the places in the pattern reachable by one more character."""
    after: set[int] = set()
    for at in reached:
        part = parts[at] if at < len(parts) else ""
        if part == "**" or (part == "*" and character != "/"):
            after.add(at)
        elif part == character:
            after.add(at + 1)
    return after


def _through_wildcards(reached: set[int], parts: Sequence[str]) -> set[int]:
    """Add the places behind wildcards that match nothing."""
    for at in sorted(reached):
        place = at
        while place < len(parts) and parts[place] in ("*", "**"):
            place += 1
            reached.add(place)
    return reached
