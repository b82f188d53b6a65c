"""What a call is answered with."""

from dataclasses import dataclass, field

from zekt_sandbox.cosmos.containers import Container
from zekt_sandbox.cosmos.encoding import encode
from zekt_sandbox.cosmos.errors import CosmosError
from zekt_sandbox.cosmos.partitions import KeyRange

REQUEST_CHARGE = "x-ms-request-charge"


@dataclass(slots=True)
class Answer:
    """A status, JSON text or nothing, and headers."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def charge(units: float) -> dict[str, str]:
    """The header that says what a call cost, in request units."""
    return {REQUEST_CHARGE: f"{units:.2f}"}


def session(container: Container, key_range: KeyRange) -> dict[str, str]:
    """Where the answer comes from; without the range's id the SDK would forget its routing after every answer."""
    return {
        "x-ms-session-token": f"{key_range.id}:-1#{key_range.lsn}",
        "x-ms-documentdb-partitionkeyrangeid": key_range.id,
        "lsn": str(key_range.lsn),
        "x-ms-alt-content-path": container.path,
    }


def listing(rid: str, name: str, texts: list[str]) -> str:
    """A feed of resources, given as JSON texts."""
    return f'{{"_rid":{encode(rid)},"{name}":[{",".join(texts)}],"_count":{len(texts)}}}'


def refused(error: CosmosError) -> Answer:
    """The answer to a call that was refused."""
    headers = charge(1)
    if error.substatus is not None:
        headers["x-ms-substatus"] = str(error.substatus)
    return Answer(error.status, encode({"code": error.code, "message": error.message}), headers)
