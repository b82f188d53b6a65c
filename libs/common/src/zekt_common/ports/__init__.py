"""The ports: small Protocols that SQLite and Azure adapters satisfy alike."""

from zekt_common.ports.bus import Bus, OutgoingMessage, ReceivedMessage, Receiver
from zekt_common.ports.event_store import EventStore, FeedPage
from zekt_common.ports.expiring import Expiring
from zekt_common.ports.keys import DataKey, Keys
from zekt_common.ports.leases import Leases
from zekt_common.ports.payloads import PayloadRef, Payloads
from zekt_common.ports.views import Document, Put, Remove, Views

__all__ = [
    "Bus",
    "DataKey",
    "Document",
    "EventStore",
    "Expiring",
    "FeedPage",
    "Keys",
    "Leases",
    "OutgoingMessage",
    "PayloadRef",
    "Payloads",
    "Put",
    "ReceivedMessage",
    "Receiver",
    "Remove",
    "Views",
]
