"""A webhook, stream `webhook/{hook target id}/{delivery GUID}`: one event, so that its first append decides.

The raw body is archived as it came; the event keeps only what routing needs.
"""

from datetime import timedelta
from typing import Annotated, ClassVar, Final, TypeAlias

import msgspec

from zekt_common.envelope import Event
from zekt_common.errors import ZektError
from zekt_common.ports.payloads import PayloadRef
from zekt_common.schemas import Schemas
from zekt_ingress.signatures import HookTarget, VerifiedBody

NO_ACCOUNT: Final = 0
UNOWNED_RETENTION: Final = timedelta(days=1)
"""How long a body is kept that belongs to no account: nobody's leaving destroys its key, and people are in it.

Identity reads it within seconds. Should it come later than this, GitHub tells it of installations anyway, and a session
that a revocation would have ended, which lives for twelve hours, is over.
"""
MAX_NAME_LENGTH: Final = 256

_Id: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=1024)]


class CompletedRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A workflow run's attempt that has ended, as far as routing needs to know it."""

    repository_id: int
    repository: str
    owner_id: int
    run_id: int
    run_attempt: int
    workflow_path: str
    workflow_name: str
    conclusion: str
    trigger: str
    branch: str
    commit_sha: str
    head_repository_id: int | None
    installation_id: int | None


class WebhookReceived(Event, frozen=True, kw_only=True):
    """A signed webhook came in; `run` is set for a completed workflow run only."""

    TYPE: ClassVar[str] = "dev.zekt.webhook.received"

    event: str
    action: str | None
    guid: str
    hook_target_type: str
    hook_target_id: int
    payload: PayloadRef
    run: CompletedRun | None = None


WEBHOOK_SCHEMAS: Final = Schemas([WebhookReceived])


class NotJson(ZektError):
    """The body is no JSON."""


class UnexpectedShape(ZektError):
    """The body is JSON, but a field that is needed is missing or of another type; the message names it."""


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was read from a webhook's body."""

    action: str | None
    repository_id: int | None
    owner_id: int
    run: CompletedRun | None


def stream_of(target: HookTarget, guid: str) -> str:
    """Return the webhook's stream. One GUID may reach two Apps, so the target is part of its key."""
    return f"webhook/{target.id}/{guid}"


def read(event: str, body: VerifiedBody) -> Facts:
    """Return the facts in the body of a webhook of this event type, known or not.

    Raises:
        NotJson: the body is no JSON.
        UnexpectedShape: a field that is needed cannot be read.
    """
    try:
        if event == "workflow_run":
            return _facts_of_run(_run_decoder.decode(body))
        return _facts(_any_decoder.decode(body))
    except msgspec.ValidationError as error:
        raise (UnexpectedShape(f"{error}.") if _is_json(body) else _not_json()) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _not_json() from None


def _is_json(body: bytes) -> bool:
    """Return whether all of the body is JSON, which is not known where decoding stopped at an unexpected shape."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _not_json() -> NotJson:
    return NotJson("The body is no JSON.")


class _Entity(msgspec.Struct, gc=False):
    id: _Id


class _Repository(msgspec.Struct, gc=False):
    id: _Id
    owner: _Entity | None = None


class _AnyBody(msgspec.Struct, gc=False):
    action: _Text | None = None
    repository: _Repository | None = None


class _RunRepository(msgspec.Struct, gc=False):
    id: _Id
    full_name: _Text
    owner: _Entity


class _Run(msgspec.Struct, gc=False):
    id: _Id
    event: _Text
    head_sha: _Text
    path: _Text
    run_attempt: _Id = 1
    name: str | None = None
    head_branch: _Text | None = None
    conclusion: _Text | None = None
    head_repository: _Entity | None = None


class _RunBody(msgspec.Struct, gc=False):
    action: _Text
    repository: _RunRepository
    workflow_run: _Run
    installation: _Entity | None = None


_any_decoder: Final = msgspec.json.Decoder(_AnyBody)
_run_decoder: Final = msgspec.json.Decoder(_RunBody)


def _facts(body: _AnyBody) -> Facts:
    repository = body.repository
    owner = repository.owner if repository else None
    return Facts(
        action=body.action,
        repository_id=repository.id if repository else None,
        owner_id=owner.id if owner else NO_ACCOUNT,
        run=None,
    )


def _facts_of_run(body: _RunBody) -> Facts:
    return Facts(
        action=body.action,
        repository_id=body.repository.id,
        owner_id=body.repository.owner.id,
        run=_completed(body) if body.action == "completed" else None,
    )


def _completed(body: _RunBody) -> CompletedRun:
    run, repository = body.workflow_run, body.repository
    return CompletedRun(
        repository_id=repository.id,
        repository=repository.full_name,
        owner_id=repository.owner.id,
        run_id=run.id,
        run_attempt=run.run_attempt,
        workflow_path=run.path.partition("@")[0],
        workflow_name=(run.name or "")[:MAX_NAME_LENGTH],
        conclusion=run.conclusion or "",
        trigger=run.event,
        branch=run.head_branch or "",
        commit_sha=run.head_sha,
        head_repository_id=run.head_repository.id if run.head_repository else None,
        installation_id=body.installation.id if body.installation else None,
    )
