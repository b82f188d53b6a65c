"""The redaction guard: takes secrets out of a message before anything of it is stored.

It looks at every string of a JSON value, names of members too, and tells where it found what kind, never what it was.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from zekt_ingress.redaction_rules import NAMED_SECRETS, RULES, Rule

MAX_PATH_LENGTH: Final = 256
MAX_FINDINGS: Final = 100


class Finding(msgspec.Struct, frozen=True):
    """A secret was at `path` (a JSON Pointer, at most 256 characters); what it was is gone."""

    path: str
    kind: str


class Redacted(msgspec.Struct, frozen=True):
    """A value without secrets, up to 100 findings, and how many there were."""

    value: Any
    findings: list[Finding]
    total: int


def redact(value: Any, text: str) -> Redacted:
    """Return the JSON value with every secret replaced by `[redacted:<kind>]`; `text` is the value as JSON."""
    rules = [rule for rule in RULES if _hinted(rule, text)]
    plain = _plain(text)
    if not rules and not any(name in plain for name in NAMED_SECRETS):
        return Redacted(value, [], 0)
    guard = _Guard(rules)
    return Redacted(guard.clean(value, ""), guard.findings, guard.total)


def holds_secret(text: str) -> bool:
    """Return whether a piece of text, such as a name, holds a secret."""
    return any(_hinted(rule, text) and rule.pattern.search(text) for rule in RULES)


class _Guard:
    """One pass over a value with the rules that its text makes worth trying."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self.findings: list[Finding] = []
        self.total = 0

    def clean(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            return self._clean_text(value, path)
        if isinstance(value, dict):
            return self._clean_members(value, path)
        if isinstance(value, list):
            return [self.clean(item, f"{path}/{index}") for index, item in enumerate(value)]
        return value

    def _clean_members(self, members: dict[str, Any], path: str) -> dict[str, Any]:
        cleaned: dict[str, Any] = {}
        for name, value in members.items():
            kept = _unused(self._clean_text(name, path), cleaned)
            below = f"{path}/{kept.replace('~', '~0').replace('/', '~1')}"
            cleaned[kept] = self._clean_named(name, value, below)
        return cleaned

    def _clean_named(self, name: str, value: Any, path: str) -> Any:
        if isinstance(value, str):
            kind, pattern = NAMED_SECRETS.get(_plain(name), (None, None))
            if kind is not None and pattern is not None and pattern.fullmatch(value):
                self._found(kind, path, 1)
                return _mark(kind)
        return self.clean(value, path)

    def _clean_text(self, text: str, path: str) -> str:
        for rule in self._rules:
            if _hinted(rule, text):
                text, count = rule.pattern.subn(_mark(rule.kind), text)
                self._found(rule.kind, path, count)
        return text

    def _found(self, kind: str, path: str, count: int) -> None:
        self.total += count
        if count and len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(path[:MAX_PATH_LENGTH], kind))


def _hinted(rule: Rule, text: str) -> bool:
    for hint in rule.hints:  # noqa: SIM110 - runs for every rule and string, where any() costs six times as much
        if hint in text:
            return True
    return False


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _mark(kind: str) -> str:
    return f"[redacted:{kind}]"


def _unused(name: str, members: dict[str, Any]) -> str:
    """Return the name, numbered if redaction has made it equal to another one."""
    number, unused = 1, name
    while unused in members:
        number += 1
        unused = f"{name}#{number}"
    return unused
