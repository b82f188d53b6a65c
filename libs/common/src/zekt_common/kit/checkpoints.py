"""Checkpoints: how far a reader of a feed has come, kept as documents that only one writer at a time can move."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from zekt_common.ports.bus import EVERYONE, OutgoingMessage
from zekt_common.ports.views import ABSENT, Put, Remove, Views

PARTITION = "checkpoints"


class Rewind(msgspec.Struct, frozen=True):
    """An order to publish again: events stamped up to `until` go out as copies marked with `id`.

    They go to all, or to one: then what is stamped before `published` goes nowhere else, and what comes after that, and
    may not have been published yet, goes to all besides.
    """

    id: str
    until: datetime
    to: str = EVERYONE
    published: datetime | None = None

    def messages(self, message: OutgoingMessage, time: datetime) -> list[OutgoingMessage]:
        """Return what goes out for a message about an event of this time."""
        if time > self.until:
            return [message]
        copy = self.marked(message)
        if self.to == EVERYONE:
            return [copy]
        first = [] if self.published is not None and time < self.published else [message]
        concerned = message.to in (EVERYONE, self.to)
        return [*first, msgspec.structs.replace(copy, to=self.to)] if concerned else first

    def marked(self, message: OutgoingMessage) -> OutgoingMessage:
        """Return `message` under an id of its own, past duplicate detection."""
        return msgspec.structs.replace(message, message_id=f"{message.message_id or message.envelope.id}~w{self.id}")


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cursor to continue from; every event stamped before `through` lies before it."""

    cursor: str = ""
    through: datetime | None = None
    rewind: Rewind | None = None


_decoder = msgspec.json.Decoder(Checkpoint)


class CheckpointDocument:
    """One checkpoint in the views, with the ETag it was last seen at."""

    def __init__(self, views: Views, id_: str) -> None:
        self._views = views
        self._id = id_
        self._etag = ABSENT

    async def load(self) -> Checkpoint:
        """Return the stored checkpoint, or the beginning if there is none."""
        document = await self._views.get(PARTITION, self._id)
        self._etag = document.etag if document else ABSENT
        return _decoder.decode(document.body) if document else Checkpoint()

    async def save(
        self, checkpoint: Checkpoint, changes: Sequence[Put | Remove] = (), *, durable: bool = False
    ) -> None:
        """Write the checkpoint over the one last seen, together with `changes`, all or none.

        What is not `durable` may be undone by the loss of power, all together: then the reader repeats its last steps.

        Raises:
            DocumentConflict: somebody else has moved the checkpoint since.
        """
        put = Put(partition=PARTITION, id=self._id, body=msgspec.json.encode(checkpoint), if_match=self._etag)
        etags = await self._views.write([*changes, put], durable=durable)
        self._etag = etags[-1]

    async def moved(self) -> bool:
        """Return whether somebody else has written the checkpoint since it was last seen."""
        document = await self._views.get(PARTITION, self._id)
        return (document.etag if document else ABSENT) != self._etag
