"""What the router does with ingress's messages, and with runs that are due."""

from zekt_common.contracts.ingress import MessageReceived, RunCompleted, Watermark
from zekt_common.envelope import Envelope
from zekt_common.kit.settlement import Complete, Settlement
from zekt_common.ports import Receiver
from zekt_router.horizon import Horizon
from zekt_router.process import Runs
from zekt_router.run import RecordCompletion, RecordMessage
from zekt_router.run_model import Completion, Message, run_stream


class Handlers:
    """Each can be repeated at will: what is decided already is not decided again."""

    def __init__(self, runs: Runs, horizon: Horizon, receiver: Receiver) -> None:
        self._runs = runs
        self._horizon = horizon
        self._receiver = receiver

    async def run_completed(self, event: RunCompleted, envelope: Envelope) -> Settlement:
        """Record a completed attempt."""
        completion = _completion(event)
        await self._runs.execute(
            run_stream(event.repository_id, event.run_id),
            event.owner_id,
            lambda catalogs: RecordCompletion(completion=completion, catalogs=catalogs),
            envelope,
        )
        return Complete()

    async def message_received(self, event: MessageReceived, envelope: Envelope) -> Settlement:
        """Record a message."""
        message = _message(event)
        await self._runs.execute(
            run_stream(event.repository_id, event.run_id),
            event.owner_id,
            lambda catalogs: RecordMessage(message=message, catalogs=catalogs),
            envelope,
        )
        return Complete()

    async def watermark(self, event: Watermark, _envelope: Envelope) -> Settlement:
        """Note how far ingress has published, and have due windows looked at."""
        await self._horizon.move(event.through)
        return Complete()

    async def close_windows(self, stream: str) -> bool:
        """Close the run's ended windows, unless a message about the run is still on its way to us.

        The watermark is read first: whatever was stored up to it has been published, so it is either settled, and
        then in the run, or among the unsettled.
        """
        through = await self._horizon.through()
        subject = stream.partition("/")[2]
        if await self._receiver.unsettled([subject]):
            return False
        return await self._runs.close(stream, through)


def _completion(event: RunCompleted) -> Completion:
    return Completion(
        received_at=event.received_at,
        repository_id=event.repository_id,
        repository=event.repository,
        owner_id=event.owner_id,
        run_id=event.run_id,
        run_attempt=event.run_attempt,
        workflow_path=event.workflow_path,
        workflow_name=event.workflow_name,
        conclusion=event.conclusion,
        trigger=event.trigger,
        branch=event.branch,
        commit_sha=event.commit_sha,
        head_repository_id=event.head_repository_id,
    )


def _message(event: MessageReceived) -> Message:
    return Message(
        message_id=event.message_id,
        received_at=event.received_at,
        repository_id=event.repository_id,
        owner_id=event.owner_id,
        run_id=event.run_id,
        run_attempt=event.run_attempt,
        event_type=event.event_type,
        size_bytes=event.size_bytes,
        payload=event.payload,
        payload_ref=event.payload_ref,
    )
