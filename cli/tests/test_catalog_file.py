import textwrap
from pathlib import Path

import pytest

from zekt_cli.catalog.located import MAX_FILE_BYTES, InvalidFile, parse, read
from zekt_cli.catalog.shape import checked, place

WHOLE = b"""\
apiVersion: zekt.dev/v1
accounts:
  - {login: acme, persona: both, sku: standard, accountId: 7}
repositories:
  - {repository: acme/provider, enabledAs: [provider]}
  - {repository: beta/consumer, enabledAs: [consumer], repositoryId: 2, installationId: 3}
workflows:
  - repository: acme/provider
    path: .github/workflows/ci.yml
    branches: ["main", "release/*"]
    conclusions: [success, failure]
    events: [push, workflow_dispatch]
    mode: events+messages
    correlationWindowSeconds: 2.5
services:
  - owner: acme
    slug: ci-finished
    alias: Acme CI
    description: CI results
    tags: [ci]
    repository: acme/provider
    workflow: .github/workflows/ci.yml
    eventTypes: [deployment]
    visibility: public
    listed: true
    shieldRequired: false
    schema: {type: object, properties: {a: {minimum: 0.5}}}
subscriptions:
  - {service: acme/ci-finished, target: beta/consumer, eventTypes: [deployment], durable: true, status: approved}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        checked(parse(textwrap.dedent(text).encode()))
    return [f"{one.line}:{one.column}: {one.message}" for one in caught.value.problems]


def test_a_whole_catalog_is_read_as_plain_json_types() -> None:
    catalog = checked(parse(WHOLE))
    assert catalog["repositories"][1]["repositoryId"] == 2
    assert catalog["workflows"][0]["correlationWindowSeconds"] == 2.5
    assert catalog["services"][0]["schema"] == {"type": "object", "properties": {"a": {"minimum": 0.5}}}
    assert catalog["subscriptions"][0]["durable"] is True


def test_every_list_may_be_left_out() -> None:
    assert checked(parse(b"apiVersion: zekt.dev/v1")) == {"apiVersion": "zekt.dev/v1"}


def test_all_problems_are_named_at_once_each_with_line_and_column() -> None:
    found = problems("""\
        apiVersion: zekt.dev/v1
        repositories:
          - {repository: acme, enabledas: [provider]}
        workflows:
          - repository: acme/provider
            path: ci.yml
            mode: event
            correlationWindowSeconds: 301
        subscripions: []
        """)
    assert found == [
        "3:5: the key 'enabledAs' is missing",
        "3:18: expected a repository as owner/name, found 'acme'",
        "3:24: unknown key 'enabledas'; did you mean 'enabledAs'?",
        "6:11: expected a path like .github/workflows/ci.yml, found 'ci.yml'",
        "7:11: expected one of events, events+messages, found 'event'; did you mean 'events'?",
        "8:31: expected a number from 0 to 300, found 301",
        "9:1: unknown key 'subscripions'; did you mean 'subscriptions'?",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "1:1: the file is empty"),
        ("a: [", "1:5: no valid YAML: expected the node content, but found '<stream end>'"),
        ("apiVersion: zekt.dev/v1\napiVersion: zekt.dev/v1", "2:1: the key 'apiVersion' occurs twice"),
        ("a: 1\n---\nb: 2", "2:1: no valid YAML: but found another document"),
        (
            "a: !!python/name:os.system x",
            "1:4: the tag tag:yaml.org,2002:python/name:os.system has no place in a catalog",
        ),
        ("a: !thing {b: 1}", "1:4: the tag !thing has no place in a catalog"),
        ("a: .nan", "1:4: .nan is no number that JSON can hold"),
        ("1: x", "1:1: a key must be text: quote it"),
        ("&a [*a]", "1:1: nested too deeply, or too much in one file"),
        ("- 1", "1:1: expected a mapping, found a list"),
        ("accounts: []", "1:1: the key 'apiVersion' is missing"),
        (
            "apiVersion: zekt.dev/v2",
            "1:13: expected one of zekt.dev/v1, found 'zekt.dev/v2'; did you mean 'zekt.dev/v1'?",
        ),
        (
            "apiVersion: zekt.dev/v1\naccounts: [{login: 2026}]",
            "2:20: expected a GitHub login, found a number: quote it if it is meant as text",
        ),
        (
            "apiVersion: zekt.dev/v1\naccounts: [{login: a, accountId: '1'}]",
            "2:34: expected a whole number from 1 to 9007199254740992, found '1'",
        ),
        (
            "apiVersion: zekt.dev/v1\nservices: [{owner: a, slug: bb, repository: a/b, listed: yes}]",
            "2:58: expected true or false, found 'yes'",
        ),
        ("apiVersion: zekt.dev/v1\naccounts: {login: a}", "2:11: expected a list, found a mapping"),
        (
            "apiVersion: zekt.dev/v1\naccounts:\n- login: Acme\n- login: acme",
            "4:3: acme is already defined in line 3",
        ),
    ],
)
def test_what_is_wrong_is_named_at_its_place(text: str, found: str) -> None:
    assert problems(text) == [found]


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(InvalidFile, match="1 problem"):
        read(path)


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InvalidFile) as caught:
        parse("\n".join(lines).encode())
    assert "too much in one file" in caught.value.problems[0].message


def test_a_path_of_the_suites_answer_is_found_in_the_file() -> None:
    document = parse(WHOLE)
    assert (place(document, ["repositories", 1, "repository"]).line) == 6
    assert (place(document, ["repositories", 9]).line) == 5
    assert (place(document, ["services", "0", "slug", "nothing"]).value) == "ci-finished"
