"""A bad day of Azure's services: calls that are lost, refused and throttled, and whether they were."""

from tests.e2e.azure_account import AzureAccount

LOST_ANSWERS_OF_THE_BUS = 5


async def switch_faults_on(azure: AzureAccount) -> None:
    """Lose, refuse and throttle a few calls in a hundred, the same ones every time."""
    await azure.cosmos("POST", "", kind="drop_after", operation="writes", count=None, probability=0.01, seed=1)
    await azure.cosmos("POST", "", kind="drop_before", count=None, probability=0.005, seed=2)
    await azure.cosmos("POST", "", kind="error", status=429, retry_after_ms=20, count=None, probability=0.02, seed=3)
    await azure.bus("POST", "/faults/lost_answers", count=LOST_ANSWERS_OF_THE_BUS)


async def switch_first_faults_on(azure: AzureAccount) -> None:
    """Lose, refuse and throttle the next calls, of which there may be few."""
    await azure.cosmos("POST", "", kind="drop_after", operation="batch", count=3)
    await azure.cosmos("POST", "", kind="drop_before", count=3)
    await azure.cosmos("POST", "", kind="error", status=429, retry_after_ms=20, count=3)
    await azure.bus("POST", "/faults/lost_answers", count=2)


async def assert_faults_were_used(azure: AzureAccount) -> None:
    """Each at Cosmos DB has struck, and the bus has lost every answer that it was to lose."""
    faults = (await azure.cosmos("GET", ""))["faults"]
    assert faults
    assert all(fault["taken"] for fault in faults)
    assert (await azure.bus("GET", "/"))["faults"]["lost_answers"] == 0
