"""What the chart's custom resources must look like, as far as it uses them: the fields that each kind knows."""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema

Schema = Mapping[str, Any]
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


_PATH: Final = _object({"type": {"enum": ["Exact", "PathPrefix"]}, "value": {"type": "string", "pattern": "^/"}})
_HTTP_ROUTE: Final = _object(
    {
        "parentRefs": _list(_object({"name": _TEXT}, {"namespace": _TEXT, "sectionName": _TEXT})),
        "rules": _list(
            _object(
                {
                    "matches": _list(_object({"path": _PATH})),
                    "backendRefs": _list(_object({"name": _TEXT, "port": {"type": "integer"}})),
                }
            )
        ),
    },
    {"hostnames": _list(_TEXT)},
)

_SERVICE_BUS: Final = _object(
    {
        "type": {"const": "azure-servicebus"},
        "name": _TEXT,
        "metadata": _object(
            {"topicName": _TEXT, "subscriptionName": _TEXT, "messageCount": {"type": "string", "pattern": "^[0-9]+$"}},
            {"namespace": {"type": "string", "pattern": "^[a-z0-9-]+$"}, "cloud": _TEXT, "endpointSuffix": _TEXT},
        ),
        "authenticationRef": _object({"name": _TEXT}),
    }
)
_CPU: Final = _object(
    {
        "type": {"const": "cpu"},
        "name": _TEXT,
        "metricType": {"const": "Utilization"},
        "metadata": _object({"value": {"type": "string", "pattern": "^[0-9]+$"}}),
    }
)
_SCALED_OBJECT: Final = _object(
    {
        "scaleTargetRef": _object({"name": _TEXT}),
        "minReplicaCount": {"type": "integer", "minimum": 1},
        "maxReplicaCount": {"type": "integer", "minimum": 1},
        "cooldownPeriod": {"type": "integer"},
        "triggers": _list({"oneOf": [_SERVICE_BUS, _CPU]}),
    }
)
_TRIGGER_AUTHENTICATION: Final = {
    "oneOf": [
        _object({"podIdentity": _object({"provider": {"const": "azure-workload"}}, {"identityId": _TEXT})}),
        _object({"secretTargetRef": _list(_object({"parameter": _TEXT, "name": _TEXT, "key": _TEXT}))}),
    ]
}

_SECRET_PROVIDER_CLASS: Final = _object(
    {
        "provider": {"const": "azure"},
        "parameters": _object(
            {
                "keyvaultName": _TEXT,
                "tenantId": _TEXT,
                "clientID": _TEXT,
                "usePodIdentity": {"const": "false"},
                "objects": _TEXT,
            }
        ),
        "secretObjects": _list(
            _object(
                {
                    "secretName": _TEXT,
                    "type": {"const": "Opaque"},
                    "data": _list(_object({"objectName": _TEXT, "key": _TEXT})),
                }
            )
        ),
    }
)

_SERVICE_MONITOR: Final = _object(
    {
        "selector": _object({"matchLabels": _TEXTS}),
        "endpoints": _list(_object({"port": _TEXT, "interval": _TEXT, "honorLabels": {"type": "boolean"}})),
    }
)
_RULE: Final = {
    "oneOf": [
        _object({"alert": _TEXT, "expr": _TEXT}, {"for": _TEXT, "labels": _TEXTS, "annotations": _TEXTS}),
        _object({"record": _TEXT, "expr": _TEXT}, {"labels": _TEXTS}),
    ]
}
_PROMETHEUS_RULE: Final = _object(
    {"groups": _list(_object({"name": _TEXT, "rules": _list(_RULE)}, {"interval": _TEXT}))}
)

SPECS: Final[Mapping[tuple[str, str], Schema]] = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _HTTP_ROUTE,
    ("keda.sh/v1alpha1", "ScaledObject"): _SCALED_OBJECT,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): _TRIGGER_AUTHENTICATION,
    ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass"): _SECRET_PROVIDER_CLASS,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _SERVICE_MONITOR,
    ("monitoring.coreos.com/v1", "PrometheusRule"): _PROMETHEUS_RULE,
}


def check_custom_resource(found: Mapping[str, Any]) -> None:
    """Pass if the object is of a kind that is known here, and has nothing that its kind does not know.

    Raises:
        KeyError: it is of no such kind.
        ValidationError: it is, but of another form.
    """
    spec = SPECS[found["apiVersion"], found["kind"]]
    jsonschema.validate(found["spec"], spec)
