"""What can be asked of a vault's keys, in the service's own JSON."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zekt_sandbox.keyvault.errors import VaultError, bad_parameter
from zekt_sandbox.keyvault.keys import ALGORITHM, Keys, KeyVersion

KEY_OPERATIONS = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: an operation on a key or a version of it; `address` is the vault's own URL."""

    operation: str
    address: str
    key: str
    version: str
    body: dict[str, Any]


def carried_out(keys: Keys, call: Call) -> dict[str, Any]:
    """Return the answer.

    Raises:
        VaultError: 400, 403 or 404, with the service's code.
    """
    return _ANSWERS[call.operation](keys, call)


def _create(keys: Keys, call: Call) -> dict[str, Any]:
    if call.body.get("kty") != "RSA":
        raise bad_parameter("This stand-in makes RSA keys.")
    return _bundle(call, keys.add_version(call.key))


def _rotate(keys: Keys, call: Call) -> dict[str, Any]:
    keys.versions(call.key)
    return _bundle(call, keys.add_version(call.key))


def _get(keys: Keys, call: Call) -> dict[str, Any]:
    return _bundle(call, keys.version(call.key, call.version))


def _versions(keys: Keys, call: Call) -> dict[str, Any]:
    items = [{"kid": _id(call, each), "attributes": _attributes(each)} for each in keys.versions(call.key)]
    return {"value": sorted(items, key=lambda item: str(item["kid"])), "nextLink": None}


def _update(keys: Keys, call: Call) -> dict[str, Any]:
    version = keys.version(call.key, call.version)
    enabled = call.body.get("attributes", {}).get("enabled")
    if enabled is not None:
        version.enable(enabled=bool(enabled))
    return _bundle(call, version)


def _wrap(keys: Keys, call: Call) -> dict[str, Any]:
    version = keys.version(call.key, call.version)
    return {"kid": _id(call, version), "value": _base64url(version.wrap(_value(call)))}


def _unwrap(keys: Keys, call: Call) -> dict[str, Any]:
    version = keys.version(call.key, call.version)
    return {"kid": _id(call, version), "value": _base64url(version.unwrap(_value(call)))}


_ANSWERS: dict[str, Callable[[Keys, Call], dict[str, Any]]] = {
    "create": _create,
    "rotate": _rotate,
    "get": _get,
    "versions": _versions,
    "update": _update,
    "wrapkey": _wrap,
    "unwrapkey": _unwrap,
}


def error_of(refusal: VaultError) -> dict[str, Any]:
    """Return the body of a refusal."""
    inner = {"innererror": {"code": refusal.reason}} if refusal.reason else {}
    return {"error": {"code": refusal.code, "message": refusal.message, **inner}}


def _bundle(call: Call, version: KeyVersion) -> dict[str, Any]:
    numbers = version.private.public_key().public_numbers()
    key = {"kid": _id(call, version), "kty": "RSA", "key_ops": KEY_OPERATIONS}
    key |= {"n": _base64url(_bytes(numbers.n)), "e": _base64url(_bytes(numbers.e))}
    return {"key": key, "attributes": _attributes(version), "tags": {}}


def _attributes(version: KeyVersion) -> dict[str, Any]:
    times = {"created": version.created, "updated": version.updated}
    return {"enabled": version.enabled, **times, "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}


def _id(call: Call, version: KeyVersion) -> str:
    return f"{call.address}/keys/{call.key}/{version.id}"


def _value(call: Call) -> bytes:
    if call.body.get("alg") != ALGORITHM:
        raise bad_parameter(f"This stand-in knows {ALGORITHM} alone.")
    try:
        text = str(call.body["value"])
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (KeyError, binascii.Error):
        raise bad_parameter("The value is no base64url.") from None


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
