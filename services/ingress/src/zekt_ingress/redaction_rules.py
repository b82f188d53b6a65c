"""What secrets look like. Every pattern takes linear time: no run of characters is scanned from several starts."""

import re
from typing import Final

import msgspec


class Rule(msgspec.Struct, frozen=True):
    """One kind of secret: `pattern` is tried only on text that holds one of `hints`, which it cannot match without.

    Exactly what the pattern matches is replaced; what gives the secret away stays, by look-around, where it helps.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]


def _rule(kind: str, hints: tuple[str, ...], pattern: str) -> Rule:
    return Rule(kind, hints, re.compile(pattern))


_KEY_NAME: Final = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

RULES: Final = (
    _rule(
        "private-key", ("PRIVATE KEY",), rf"-----BEGIN {_KEY_NAME}[^-]*+(?:-(?!----)[^-]*+)*+(?:-----END {_KEY_NAME})?"
    ),
    _rule(
        "github-token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        r"gh[pousr]_[A-Za-z0-9_-]{30,}+(?:\.[A-Za-z0-9_-]++)*+",
    ),
    _rule("github-token", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{22,}+"),
    _rule("gitlab-token", ("glpat-",), r"glpat-[A-Za-z0-9_-]{20,}+"),
    _rule("aws-access-key", ("AKIA", "ASIA"), r"(?<![A-Z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])"),
    _rule(
        "aws-secret-key",
        ("ecret", "ECRET"),
        r"(?i)(?:secret_?access_?key|aws_?secret_?key)[\"'\s:=]{1,5}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
    ),
    _rule("azure-key", ("ccountKey=", "ccountkey="), r"(?<=ccount[Kk]ey=)[A-Za-z0-9+/]{40,}+={0,2}"),
    _rule("azure-key", ("ccessKey=", "ccesskey="), r"(?<=ccess[Kk]ey=)[A-Za-z0-9+/]{40,}+={0,2}"),
    _rule("azure-sas", ("sig=",), r"(?<![A-Za-z0-9_])sig=[A-Za-z0-9%+/_-]{40,}+={0,2}"),
    _rule(
        "azure-client-secret",
        ("Q~",),
        r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![\w~.-])",
    ),
    _rule(
        "json-web-token",
        ("eyJ",),
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+",
    ),
    _rule("slack-token", ("xox", "xapp-"), r"(?:xox[abceoprs]|xapp)-[A-Za-z0-9-]{10,}+"),
    _rule(
        "slack-webhook",
        ("hooks.slack.com/",),
        r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[A-Za-z0-9_/-]{20,}+",
    ),
    _rule("npm-token", ("npm_",), r"npm_[A-Za-z0-9]{36}"),
    _rule("pypi-token", ("pypi-",), r"pypi-[A-Za-z0-9_-]{50,}+"),
    _rule("google-api-key", ("AIza",), r"AIza[A-Za-z0-9_-]{35}"),
    _rule("google-token", ("ya29.",), r"ya29\.[A-Za-z0-9_-]{20,}+"),
    _rule("google-client-secret", ("GOCSPX-",), r"GOCSPX-[A-Za-z0-9_-]{28}"),
    _rule("stripe-key", ("k_live_",), r"[rs]k_live_[A-Za-z0-9]{20,}+"),
    _rule("docker-token", ("dckr_pat_",), r"dckr_pat_[A-Za-z0-9_-]{20,}+"),
    _rule("sendgrid-key", ("SG.",), r"(?<![A-Za-z0-9_.-])SG\.[A-Za-z0-9_-]{16,32}+\.[A-Za-z0-9_-]{32,64}+"),
    _rule(
        "authorization-header",
        ("uthorization", "UTHORIZATION"),
        r"(?i)(?<=authorization)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:basic|bearer|token)\s{1,3}[A-Za-z0-9._~+/=-]{8,}+",
    ),
    _rule("url-credentials", ("://",), r"(?<=://)[^\s/?#@:\"'<>\[\]]{0,100}+:[^\s/?#@\"'<>\[\]]{1,300}+(?=@)"),
)

_TOKEN: Final = re.compile(
    r"(?:[Bb]asic|[Bb]earer|[Tt]oken) [A-Za-z0-9._~+/=-]{8,}+|(?=[^0-9]*[0-9])[A-Za-z0-9._~+/=-]{20,}+"
)
_AWS_SECRET: Final = re.compile(r"[A-Za-z0-9/+]{40}")
_AWS_SESSION: Final = re.compile(r"[A-Za-z0-9/+=]{100,}+")
_AZURE_KEY: Final = re.compile(r"[A-Za-z0-9+/]{42,}+={0,2}")

NAMED_SECRETS: Final = {
    "authorization": ("authorization-header", _TOKEN),
    "secretaccesskey": ("aws-secret-key", _AWS_SECRET),
    "awssecretaccesskey": ("aws-secret-key", _AWS_SECRET),
    "awssecretkey": ("aws-secret-key", _AWS_SECRET),
    "sessiontoken": ("aws-session-token", _AWS_SESSION),
    "awssessiontoken": ("aws-session-token", _AWS_SESSION),
    "accountkey": ("azure-key", _AZURE_KEY),
    "storageaccountkey": ("azure-key", _AZURE_KEY),
    "sharedaccesskey": ("azure-key", _AZURE_KEY),
}
"""Members whose values are secrets if they fit, by their names in lower case without `_` and `-`."""
