"""The services of a suite: the one place of the command line that knows them."""

from collections.abc import Callable, Mapping
from typing import Final

import zekt_dispatcher.app
import zekt_identity.app
import zekt_ingress.app
import zekt_router.app
from zekt_common.kit.service import Service
from zekt_dispatcher.settings import DispatcherSettings
from zekt_identity.settings import IdentitySettings
from zekt_ingress.settings import IngressSettings
from zekt_router.settings import RouterSettings


def _identity(env: Mapping[str, str]) -> Service:
    return zekt_identity.app.build_service(IdentitySettings.from_env(env))


def _router(env: Mapping[str, str]) -> Service:
    return zekt_router.app.build_service(RouterSettings.from_env(env))


def _dispatcher(env: Mapping[str, str]) -> Service:
    return zekt_dispatcher.app.build_service(DispatcherSettings.from_env(env))


def _ingress(env: Mapping[str, str]) -> Service:
    return zekt_ingress.app.build_service(IngressSettings.from_env(env))


# Identity first, since others look tokens up there; ingress last, so that nothing comes in before it can go on.
BUILDERS: Final[tuple[Callable[[Mapping[str, str]], Service], ...]] = (_identity, _router, _dispatcher, _ingress)
