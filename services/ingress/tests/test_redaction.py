import json
import string
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zekt_ingress.redaction import MAX_FINDINGS, MAX_PATH_LENGTH, Finding, Redacted, holds_secret, redact
from zekt_ingress.redaction_rules import RULES

ALNUM = string.ascii_letters + string.digits
RUN = (ALNUM * 10)[:90]
PEM_BODY = "\n".join(["Proc-Type: 4,ENCRYPTED", RUN[:64], RUN[:64] + "=="])
CORES = (RUN[:20], "hunter2", "ABCDEFGH12345678", "aB3_-aB3_-")


def named(name: str, value: str) -> dict[str, str]:
    return {name: value}


SECRETS: dict[str, tuple[str, str]] = {
    **{prefix: ("github-token", f"{prefix}_{RUN[:36]}") for prefix in ("ghp", "gho", "ghu", "ghs", "ghr")},
    "long installation token": ("github-token", "ghs_" + "aB3_-" * 104),
    "installation token with dots": ("github-token", f"ghs_{RUN[:40]}.{RUN[:80]}.{RUN[:43]}"),
    "fine-grained": ("github-token", f"github_pat_{RUN[:22]}_{RUN[:59]}"),
    "gitlab": ("gitlab-token", f"glpat-{RUN[:20]}"),
    "aws": ("aws-access-key", "AKIA" + "ABCDEFGH12345678"),
    "aws temporary": ("aws-access-key", "ASIA" + "ABCDEFGH12345678"),
    "aws secret": ("aws-secret-key", f"aws_secret_access_key = {RUN[:40]}"),
    "private key": ("private-key", f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}\n-----END RSA PRIVATE KEY-----"),
    "pgp": ("private-key", f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{RUN}\n-----END PGP PRIVATE KEY BLOCK-----"),
    "cut off key": ("private-key", f"-----BEGIN PRIVATE KEY-----\n{RUN}"),
    "jwt": ("json-web-token", f"eyJ{RUN[:30]}.eyJ{RUN[:60]}.{RUN[:43]}"),
    "azure storage": ("azure-key", f"AccountName=acme;AccountKey={RUN[:86]}==;EndpointSuffix=core.windows.net"),
    "service bus": ("azure-key", f"Endpoint=sb://acme/;SharedAccessKeyName=root;SharedAccessKey={RUN[:43]}="),
    "sas": ("azure-sas", f"https://acme.blob.core.windows.net/c?sv=2024&sig={RUN[:43]}%3D&se=2027"),
    "azure client": ("azure-client-secret", f"abc8Q~{RUN[:34]}"),
    "slack": ("slack-token", f"xoxb-123456789012-{RUN[:24]}"),
    "slack app": ("slack-token", f"xapp-1-A1-{RUN[:24]}"),
    "slack hook": ("slack-webhook", f"https://hooks.slack.com/services/T000/B000/{RUN[:24]}"),
    "npm": ("npm-token", f"npm_{RUN[:36]}"),
    "pypi": ("pypi-token", f"pypi-AgEIcHlwaS5vcmc{RUN[:60]}"),
    "google": ("google-api-key", f"AIza{RUN[:35]}"),
    "google oauth": ("google-token", f"ya29.{RUN[:60]}"),
    "google client": ("google-client-secret", f"GOCSPX-{RUN[:28]}"),
    "stripe": ("stripe-key", f"sk_live_{RUN[:24]}"),
    "docker": ("docker-token", f"dckr_pat_{RUN[:27]}"),
    "sendgrid": ("sendgrid-key", f"SG.{RUN[:22]}.{RUN[:43]}"),
    "header": ("authorization-header", f"curl -H 'Authorization: Basic {RUN[:20]}=='"),
    "url": ("url-credentials", "postgres://admin:hunter2-hunter2@db.example/acme"),
    "url with token": ("url-credentials", "https://x-access-token:hunter2-hunter2@github.com/acme/app.git"),
}
NAMED: dict[str, tuple[str, dict[str, str]]] = {
    "aws": ("aws-secret-key", named("secretAccessKey", RUN[:40])),
    "session": ("aws-session-token", named("AWS_SESSION_TOKEN", RUN + RUN)),
    "azure": ("azure-key", named("account-key", RUN[:86] + "==")),
    "header": ("authorization-header", named("Authorization", "Bearer opaque-token-1234")),
    "bare": ("authorization-header", named("authorization", "opaque-token-1234-5678")),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def run(value: Any) -> Redacted:
    return redact(value, msgspec.json.encode(value).decode())


@pytest.mark.parametrize(("kind", "text"), SECRETS.values(), ids=SECRETS)
def test_every_kind_of_secret_is_found_wherever_it_is(kind: str, text: str) -> None:
    for value, path in (
        (text, ""),
        ({"a": ["before", f"x {text} y"]}, "/a/1"),
        ({"env/x": {"~": f'{{"quoted":"{text}"}}'}}, "/env~1x/~0"),
    ):
        redacted = run(value)
        assert redacted.findings == [Finding(path, kind)]
        assert f"[redacted:{kind}]" in json.dumps(redacted.value)
        assert not any(core in json.dumps(redacted.value) for core in CORES)


@pytest.mark.parametrize(("kind", "value"), NAMED.values(), ids=NAMED)
def test_a_value_is_a_secret_by_its_members_name(kind: str, value: dict[str, str]) -> None:
    (name,) = value
    assert run({"x": [value]}) == Redacted({"x": [{name: f"[redacted:{kind}]"}]}, [Finding(f"/x/0/{name}", kind)], 1)


def test_a_secret_in_a_members_name_is_taken_out_and_told_without_it() -> None:
    token = SECRETS["ghp"][1]
    redacted = run({token: 1, f"{token}x": token})
    assert redacted.value == {"[redacted:github-token]": 1, "[redacted:github-token]#2": "[redacted:github-token]"}
    assert [finding.path for finding in redacted.findings] == ["", "", "/[redacted:github-token]#2"]
    assert token not in str(redacted)


@pytest.mark.parametrize(
    "value",
    [
        {"sha": "a" * 40, "image": "ghcr.io/acme/app@sha256:" + "0" * 64, "url": "https://example.com:8080/a?b=c@d"},
        {"version": "1.2.3", "count": 3, "ok": True, "none": None, "ratio": 0.5, "big": 12345678901234567890123},
        {"name": "ghp_short", "text": "AKIA is a prefix, eyJ too", "integrity": "sha512-" + RUN[:86] + "=="},
        {"accountKey": "customer-17", "authorization": "granted-by-the-owner-himself", "secret": "see vault"},
        "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
        ["ssh://git@github.com/acme/app.git", "mailto:a@b.example", "design=" + RUN],
    ],
)
def test_what_is_no_secret_stays(value: Any) -> None:
    assert run(value) == Redacted(value, [], 0)


@settings(deadline=None)
@given(json_values)
def test_any_json_goes_through_unchanged_unless_something_is_found(value: Any) -> None:
    redacted = run(value)
    assert redacted.total > 0 or redacted.value == value


@settings(deadline=None)
@given(json_values, st.sampled_from(sorted(SECRETS)), st.text(alphabet=" \n\t,;'(", min_size=1))
def test_a_planted_secret_never_comes_through(value: Any, secret: str, around: str) -> None:
    kind, text = SECRETS[secret]
    redacted = run({"a": value, "b": [around + text + around]})
    assert kind in {finding.kind for finding in redacted.findings}
    assert text not in json.dumps(redacted.value, ensure_ascii=False)
    assert run(redacted.value) == Redacted(redacted.value, [], 0)


def test_findings_are_bounded_and_counted() -> None:
    token = SECRETS["npm"][1]
    redacted = run({"x" * 1000: [f"{token} {token}"] * 200})
    assert redacted.total == 400
    assert len(redacted.findings) == MAX_FINDINGS
    assert all(len(finding.path) == MAX_PATH_LENGTH for finding in redacted.findings)


def test_a_name_that_holds_a_secret_is_noticed() -> None:
    assert holds_secret(f"deploy-{SECRETS['ghp'][1]}")
    assert not holds_secret("deployment")


NASTY = sorted(
    {hint for rule in RULES for hint in rule.hints}
    | {text for _, text in SECRETS.values()}
    | {text[: len(text) // 2] for _, text in SECRETS.values()}
    | {
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "-----",
        "-",
        "eyJaaaaaaaaaa.",
        "eyJ.",
        "://a:",
        "://",
        "a.",
        "=",
        "0Q~",
        " ",
    }
    | {"authorization:   basic ", "authorization" * 2, "secret_access_key = ", "sig=%", "SG." + "a" * 20 + "."}
)


@pytest.mark.slow
def test_half_a_megabyte_of_anything_takes_linear_time() -> None:
    size = 512 * 1024
    for piece in NASTY:
        for text in (
            piece * (size // len(piece)),
            piece + "a" * (size - len(piece)),
            ("a" * 50 + piece) * (size // (50 + len(piece))),
        ):
            began = time.process_time()
            run({"text": text})
            assert time.process_time() - began < 1.0, piece


@pytest.mark.slow
def test_many_small_strings_take_linear_time() -> None:
    every_hint = " ".join(hint for rule in RULES for hint in rule.hints)
    value = {"hints": every_hint, "list": ["abcde"] * 65_000}
    began = time.process_time()
    run(value)
    assert time.process_time() - began < 2.0
