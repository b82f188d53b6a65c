"""Imported by any Python whose path leads here, before anything else: every logger then says all it can."""

import logging

import structlog
from structlog.typing import FilteringBoundLogger

LIBRARIES = ("aiohttp", "asyncio", "azure", "gidgethub", "msal", "opentelemetry", "requests", "urllib3", "zekt")

_filtering = structlog.make_filtering_bound_logger


def _unfiltered(min_level: int | str) -> type[FilteringBoundLogger]:  # noqa: ARG001 - as shipped
    return _filtering(logging.NOTSET)


structlog.make_filtering_bound_logger = _unfiltered
for library in LIBRARIES:
    logging.getLogger(library).setLevel(logging.DEBUG)
