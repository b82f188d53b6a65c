"""The catalog that end-to-end tests start from: one provider, two consumers."""

from typing import Any

from zekt_sandbox import GitHubSandbox

PROVIDER = "acme/provider"
CONSUMERS = ("beta/consumer", "gamma/consumer")
WORKFLOW = ".github/workflows/ci.yml"
UNLISTED = ".github/workflows/nightly.yml"


def onboard(sandbox: GitHubSandbox) -> None:
    """Make the organisations, repositories, workflows and installations exist at the stand-in."""
    for repository in (PROVIDER, *CONSUMERS):
        sandbox.create_repository(repository)
        sandbox.create_installation(repository.split("/")[0])
    sandbox.create_workflow(PROVIDER, WORKFLOW, name="CI")
    sandbox.create_workflow(PROVIDER, UNLISTED, name="Nightly")


def catalog(*, mode: str = "events", window_s: float = 1, **workflow: Any) -> dict[str, Any]:
    """Return the catalog: both consumers subscribe to the provider's one service."""
    return {
        "apiVersion": "zekt.dev/v1",
        "accounts": [{"login": login, "persona": "both"} for login in ("acme", "beta", "gamma")],
        "repositories": [
            {"repository": PROVIDER, "enabledAs": ["provider"]},
            *({"repository": consumer, "enabledAs": ["consumer"]} for consumer in CONSUMERS),
        ],
        "workflows": [
            {
                "repository": PROVIDER,
                "path": WORKFLOW,
                "conclusions": ["success"],
                "mode": mode,
                "correlationWindowSeconds": window_s,
                **workflow,
            }
        ],
        "services": [{"owner": "acme", "slug": "ci-finished", "repository": PROVIDER, "workflow": WORKFLOW}],
        "subscriptions": [
            {"service": "acme/ci-finished", "target": consumer, "status": "approved"} for consumer in CONSUMERS
        ],
    }
