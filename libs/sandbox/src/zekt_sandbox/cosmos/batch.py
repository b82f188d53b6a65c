"""Transactional batches: all operations on one logical partition, or none of them."""

from typing import Any

from zekt_sandbox.cosmos.calls import Operation
from zekt_sandbox.cosmos.encoding import encode
from zekt_sandbox.cosmos.errors import CosmosError, bad_request
from zekt_sandbox.cosmos.items import ItemOperation, Outcome, apply
from zekt_sandbox.cosmos.transactions import Transaction

MAX_OPERATIONS = 100
_FAILED_DEPENDENCY = 424


def run_batch(transaction: Transaction, operations: Any) -> tuple[int, str]:
    """Commit all operations, or report which one failed and store nothing: the answer's status and text.

    Raises:
        CosmosError: 400, there are no operations, too many, or one of an unknown kind.
    """
    if not isinstance(operations, list) or not operations:
        raise bad_request("Batch request has no operations.")
    if len(operations) > MAX_OPERATIONS:
        raise bad_request("Batch request has more operations than what is supported.")
    outcomes = []
    for index, operation in enumerate([_read_operation(given) for given in operations]):
        try:
            outcomes.append(apply(transaction, operation))
        except CosmosError as refusal:
            return 207, _failure(refusal, index, len(operations))
    transaction.commit()
    return 200, f"[{','.join(map(_success, outcomes))}]"


def _read_operation(operation: Any) -> ItemOperation:
    try:
        kind = Operation(str(operation["operationType"]).lower())
    except (KeyError, TypeError, ValueError):
        raise bad_request("a batch operation's type is missing or unknown") from None
    return ItemOperation(
        kind,
        operation.get("id"),
        operation.get("resourceBody"),
        operation.get("ifMatch"),
        operation.get("ifNoneMatch"),
    )


def _success(outcome: Outcome) -> str:
    status = f'"statusCode":{outcome.status},"requestCharge":5.7'
    if outcome.item is None:
        return f"{{{status}}}"
    return f'{{{status},"eTag":{encode(outcome.item.etag)},"resourceBody":{outcome.item.text}}}'


def _failure(refusal: CosmosError, failed: int, count: int) -> str:
    return encode(
        [
            {
                "statusCode": refusal.status if index == failed else _FAILED_DEPENDENCY,
                "subStatusCode": (refusal.substatus or 0) if index == failed else 0,
                "requestCharge": 0,
            }
            for index in range(count)
        ]
    )
