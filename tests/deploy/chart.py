"""The chart as the tests render it: with a real Helm engine, for each values file and for what a site adds to it."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any, Final

import helm_python
import yaml

from tests.deploy.composition import ROOT

CHART: Final = ROOT / "deploy" / "helm" / "zekt"
RELEASE: Final = "zekt"
NAMESPACE: Final = "events"
OLDEST, NEWEST = "1.30", "1.37"

Values = Mapping[str, Any]
Object = dict[str, Any]

IDS: Final = {
    part: f"{number}1111111-1111-4111-8111-111111111111"
    for number, part in enumerate(("ingress", "identity", "router", "dispatcher", "provision", "keda"), start=1)
}
TENANT: Final = "9a1f7bd4-0000-4000-8000-000000000001"
AUDIENCE: Final = "9a1f7bd4-0000-4000-8000-000000000002"

TRIAL: Final[Values] = {
    "publicUrl": "https://zekt.example.com",
    "github": {"appId": 12345678},
    "secrets": {"existing": "zekt-secrets"},
}
"""What everybody says, also where images were built and loaded by hand."""

REGISTRY: Final[Values] = {"image": {"prefix": "registry.example.com/zekt"}}
SITE: Final[Values] = {**TRIAL, **REGISTRY}
"""What every site says."""

AZURE_SITE: Final[Values] = {
    **REGISTRY,
    "publicUrl": "https://zekt.example.com",
    "github": {"appId": 12345678, "oauthClientId": "Iv1.0123456789abcdef"},
    "operators": [583231, 9919],
    "secrets": {
        "keyVault": {"name": "zekt-vault"},
        "keys": {"oauthClientSecret": "oauth-client-secret", "webhookMasterKeys": "webhook-master-keys"},
    },
    "azure": {
        "servicebusNamespace": "zekt-events.servicebus.windows.net",
        "cosmosEndpoint": "https://zekt-events.documents.azure.com:443",
        "cosmosKeysEndpoint": "https://zekt-keys.documents.azure.com:443",
        "blobUrl": "https://zektevents.blob.core.windows.net",
        "keyVaultUrl": "https://zekt-vault.vault.azure.net",
    },
    "entra": {"tenantId": TENANT, "audience": AUDIENCE},
    "services": {service: {"clientId": IDS[service]} for service in ("ingress", "identity", "router", "dispatcher")},
    "provision": {"clientId": IDS["provision"], "maxRu": 4000},
    "keda": {"clientId": IDS["keda"]},
}
"""What a site on Azure says, where nothing is entered by a key."""

SERVER: Final[Values] = {
    "github": {
        "apiUrl": "https://github.example.com/api/v3",
        "oidcIssuer": "https://github.example.com/_services/token",
    }
}
"""What a site with a GitHub Enterprise Server of its own says."""

BY_KEYS: Final[Values] = {
    "secrets": {
        "existing": "zekt-secrets",
        "keyVault": {"name": ""},
        "keys": {
            "masterKey": "master-key",
            "servicebusConnection": "servicebus",
            "cosmosKey": "cosmos",
            "cosmosKeysKey": "cosmos-keys",
            "blobConnection": "blob",
        },
    },
    "azure": {"servicebusNamespace": "", "blobUrl": "", "keyVaultUrl": ""},
}
"""Instead: keys and connection strings, in a Kubernetes secret."""

TRUST: Final[Values] = {"trustedCertificates": {"configMap": "zekt-authorities"}}
DIGESTS: Final[Values] = {
    "image": {
        "digests": dict.fromkeys(("ingress", "identity", "router", "dispatcher", "cli"), f"sha256:{'0' * 64}"),
    },
    "telemetry": {"collector": {"image": f"registry.example.com/otel/collector@sha256:{'0' * 64}"}},
}
HTTP_ROUTE: Final[Values] = {
    "gateway": {
        "ingress": {"enabled": False},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]},
    }
}
PLACED: Final[Values] = {
    "image": {"pullSecrets": ["registry"]},
    "scheduling": {
        "nodeSelector": {"pool": "zekt"},
        "tolerations": [{"key": "zekt", "operator": "Exists"}],
        "priorityClassName": "important",
    },
    "fullnameOverride": "hooks",
}
RUNBOOKS: Final[Values] = {"telemetry": {"runbooks": {"baseUrl": "https://wiki.example.com/zekt/runbooks/"}}}
TRACES: Final[Values] = {
    "telemetry": {"collector": {"passTracesTo": "http://jaeger.monitoring:4318"}},
    "networkPolicy": {"traces": [{"podSelector": {"matchLabels": {"app": "jaeger"}}}]},
}
OPEN: Final[Values] = {"networkPolicy": {"enabled": False}, "provision": {"enabled": False}}
CHINA: Final[Values] = {
    "azure": {"servicebusNamespace": "zekt.servicebus.chinacloudapi.cn"},
    "entra": {"authority": "https://login.chinacloudapi.cn"},
}

STANDBY: Final[Values] = {"standby": True}
"""A case's name ends so where nothing runs."""

CASES: Final[Mapping[str, tuple[str, Sequence[Values]]]] = {
    "default": ("values.yaml", [SITE]),
    "dev": ("values-dev.yaml", [TRIAL]),
    "production": ("values-production.yaml", [AZURE_SITE]),
    "airgapped": ("values-airgapped.yaml", [SITE, SERVER]),
    "production-by-keys": ("values-production.yaml", [AZURE_SITE, BY_KEYS, TRUST]),
    "production-by-digest": ("values-production.yaml", [AZURE_SITE, DIGESTS, RUNBOOKS]),
    "production-http-route": ("values-production.yaml", [AZURE_SITE, HTTP_ROUTE, TRACES]),
    "production-open": ("values-production.yaml", [AZURE_SITE, OPEN]),
    "production-in-china": ("values-production.yaml", [AZURE_SITE, CHINA]),
    "production-standby": ("values-production.yaml", [AZURE_SITE, STANDBY]),
    "default-placed": ("values.yaml", [SITE, PLACED, HTTP_ROUTE]),
}


def values_of(case: str) -> dict[str, Any]:
    """Return the values of a case: its file's, with what its site says over them."""
    name, more = CASES[case]
    values: dict[str, Any] = yaml.safe_load((CHART / name).read_text())
    for each in more:
        values = _merged(values, each)
    return values


@cache
def rendered(case: str) -> Sequence[Object]:
    """Return all objects of a case, hooks and tests among them."""
    return manifests(values_of(case))


def manifests(values: Values) -> Sequence[Object]:
    """Return what Helm makes of these values.

    Raises:
        HelmError: it refuses them.
    """
    return [found for text in templates(values).values() for found in yaml.safe_load_all(text) if found]


def templates(values: Values, *, notes: bool = False) -> dict[str, str]:
    """Return the rendered templates by path; the notes are no manifest."""
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(dict(values), name=RELEASE, namespace=NAMESPACE, is_install=True)
    return {path: text for path, text in texts.items() if path.endswith("NOTES.txt") == notes}


def of_kind(case: str, kind: str) -> dict[str, Object]:
    """Return the case's objects of a kind by name."""
    return {found["metadata"]["name"]: found for found in rendered(case) if found["kind"] == kind}


def with_values(case: str, more: Values) -> dict[str, Any]:
    """Return the values of a case with more said over them."""
    return _merged(values_of(case), more)


def suite() -> dict[str, Any]:
    """Return what the templates know of the services."""
    loaded: dict[str, Any] = yaml.safe_load((CHART / "suite.yaml").read_text())
    return loaded


def pods(case: str) -> dict[str, Object]:
    """Return every pod that the case starts, by the name of what starts it, as its metadata and spec."""
    found = of_kind(case, "Pod")
    for kind in ("Deployment", "Job"):
        found |= {name: owner["spec"]["template"] for name, owner in of_kind(case, kind).items()}
    return found


def component(found: Object) -> str:
    """Return which part of the suite an object or pod belongs to."""
    return str(found["metadata"]["labels"]["app.kubernetes.io/component"])


def _merged(below: Values, above: Values) -> dict[str, Any]:
    merged = deepcopy(dict(below))
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(value, Mapping) and isinstance(under, Mapping) else value
    return merged
