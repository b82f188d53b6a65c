"""JSON Schema (2020-12) of a service's messages: checked when defined, compiled once, resolved without any look-up."""

import functools
from typing import Any

import msgspec
import referencing.exceptions
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry

from zekt_router.schema_bounds import unbounded

MAX_SCHEMA_BYTES = 64 * 1024
_MAX_MESSAGE = 200
_CACHED_SCHEMAS = 512


def schema_problem(schema: dict[str, Any]) -> str | None:
    """Return why this is no schema we accept, or None."""
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        return f"is larger than {MAX_SCHEMA_BYTES // 1024} KB"
    declared = schema.get("$schema", Draft202012Validator.META_SCHEMA["$id"])
    if str(declared).rstrip("#") != Draft202012Validator.META_SCHEMA["$id"]:
        return "must be JSON Schema 2020-12"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"is no JSON Schema 2020-12: at {error.json_path}: {error.message[:_MAX_MESSAGE]}"
    except RecursionError:
        return "is nested too deeply to check"
    return unbounded(schema)


def violation(schema: dict[str, Any], content: Any) -> str | None:
    """Return where and how `content` breaks the schema, without quoting the content, or None if it is valid."""
    validator = _validator(msgspec.json.encode(schema, order="deterministic"))
    try:
        error = next(validator.iter_errors(content), None)
    except referencing.exceptions.Unresolvable:
        return "the service's schema refers to something it does not contain"
    except RecursionError:
        return "the payload or the schema is nested too deeply to check"
    return None if error is None else _describe(error)


@functools.lru_cache(maxsize=_CACHED_SCHEMAS)
def _validator(encoded: bytes) -> Draft202012Validator:
    return Draft202012Validator(msgspec.json.decode(encoded), registry=Registry())


def _describe(error: ValidationError) -> str:
    """Name the place and the rule; the payload may be private, so no value of it is repeated."""
    rule = f"{error.validator}: {msgspec.json.encode(error.validator_value).decode()}"
    return f"at {error.json_path[:_MAX_MESSAGE]}: breaks {rule[:_MAX_MESSAGE]}"
