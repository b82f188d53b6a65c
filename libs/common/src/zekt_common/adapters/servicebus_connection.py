"""How a Service Bus namespace is reached, and what its SDK's errors mean to us."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import TransportType
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)

from zekt_common.errors import BackendRefused, BackendUnavailable, LockLost, SettingsError, ZektError

ATTEMPT_S = 15.0
OPERATION_S = 3.0
_REFUSALS = (ServiceBusAuthenticationError, ServiceBusAuthorizationError, ClientAuthenticationError)
_CONDITIONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (_REFUSALS, "Service Bus refuses the credential"),
    (MessagingEntityNotFoundError, "Service Bus lacks a topic or subscription: run `zekt provision`"),
    (MessagingEntityDisabledError, "a topic or subscription of Service Bus is disabled"),
    (ServiceBusQuotaExceededError, "a quota of Service Bus is used up"),
    (ServiceBusServerBusyError, "Service Bus is overloaded"),
)


@dataclass(frozen=True, kw_only=True)
class ServiceBusConnection:
    """A namespace by connection string, or by its host name and an Entra ID credential.

    `endpoint` is where to connect instead of the namespace's own host, `ca_file` holds the authorities to trust there.
    """

    connection_string: str = field(default="", repr=False)
    namespace: str = ""
    credential: AsyncTokenCredential | None = field(default=None, repr=False)
    endpoint: str = ""
    ca_file: str = ""

    @property
    def setting(self) -> str:
        """The setting that leads to this namespace."""
        return "ZEKT_SERVICEBUS_CONNECTION" if self.connection_string else "ZEKT_SERVICEBUS_NAMESPACE"

    def client(self) -> ServiceBusClient:
        """Return a client, unconnected as yet, that leaves trying again to us, and whose logs, which quote, are silent.

        Raises:
            SettingsError: the connection string is malformed, or a namespace comes without a credential.
        """
        logging.getLogger("azure.servicebus").setLevel(logging.CRITICAL + 1)
        options: dict[str, Any] = {
            "retry_total": 0,
            "try_timeout": ATTEMPT_S,
            "transport_type": TransportType.Amqp,
            "custom_endpoint_address": self.endpoint or None,
            "connection_verify": self.ca_file or None,
        }
        if not self.connection_string:
            if not self.namespace or self.credential is None:
                raise SettingsError(f"{self.setting} needs a namespace's host name and a credential")
            return ServiceBusClient(self.namespace, self.credential, **options)
        try:
            return ServiceBusClient.from_connection_string(self.connection_string, **options)
        except ValueError:
            raise SettingsError(f"{self.setting} is not a connection string of Service Bus") from None

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn what the SDK raises into our errors, whose messages quote nothing of it.

        A cancellation that the SDK swallows, as `asyncio.wait_for` can on Python 3.11, is raised all the same: whoever
        cancelled waits for it.

        Raises:
            LockLost: the message's lock has expired or passed on, or it was settled.
            BackendRefused: the credential is not taken.
            BackendUnavailable: anything else; the message says what and which setting leads there.
        """
        cancellations = _cancellations()
        try:
            yield
            _end_if_cancelled_since(cancellations)
        except (MessageLockLostError, MessageAlreadySettled, MessageNotFoundError) as error:
            raise LockLost("the message's lock has expired or passed on: it will be received again") from error
        except ZektError:
            raise
        except Exception as error:  # the SDK lets errors of its AMQP layer through
            _end_if_cancelled_since(cancellations)
            kind = BackendRefused if isinstance(error, _REFUSALS) else BackendUnavailable
            raise kind(f"{_condition(error)} ({self.setting}, {type(error).__name__})") from error


def _cancellations() -> int:
    """Return how often this task was asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _end_if_cancelled_since(cancellations: int) -> None:
    if _cancellations() > cancellations:
        raise asyncio.CancelledError


def _condition(error: Exception) -> str:
    for kinds, condition in _CONDITIONS:
        if isinstance(error, kinds):
            return condition
    return "Service Bus cannot be reached"
