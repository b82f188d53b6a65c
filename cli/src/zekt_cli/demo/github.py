"""What the demo asks of the GitHub stand-in: to make things exist and happen, and what it has received."""

from dataclasses import dataclass
from typing import Any

import msgspec

from zekt_cli.client import HttpClient

_CONTROLS = "/_sandbox"


class Run(msgspec.Struct, frozen=True):
    """A workflow run, as GitHub describes it."""

    id: int
    name: str
    head_branch: str
    head_sha: str
    repository: dict[str, Any]

    @property
    def correlation(self) -> str:
        """What everything about the run is stored under."""
        return f"{self.repository['id']}/{self.id}"


class Dispatch(msgspec.Struct, frozen=True):
    """A `repository_dispatch` as the stand-in received it."""

    repository: str
    event_type: str
    client_payload: dict[str, Any]
    status: int | None


@dataclass(frozen=True)
class GitHub:
    """The stand-in's controls."""

    client: HttpClient

    def onboard(self, repository: str, workflows: dict[str, str]) -> None:
        """Make the repository, its organisation and its workflows exist, and install the App in the organisation."""
        self._post("/repositories", full_name=repository)
        for path, name in workflows.items():
            self._post("/workflows", repository=repository, path=path, name=name)
        self._post("/installations", account=repository.partition("/")[0])

    def start_run(self, repository: str, workflow: str) -> Run:
        """Start a run of the workflow on main."""
        return msgspec.convert(self._post("/runs", repository=repository, workflow=workflow, branch="main"), Run)

    def oidc_token(self, run: Run) -> str:
        """Return the token that a job of the run gets from GitHub Actions."""
        token: str = self._post("/oidc/tokens", run_id=run.id)["token"]
        return token

    def complete(self, run: Run) -> list[dict[str, Any]]:
        """End the run and return the webhooks sent for it, with how they were answered."""
        deliveries: list[dict[str, Any]] = self._post(f"/runs/{run.id}/complete")["deliveries"]
        return deliveries

    def dispatches(self, *, wait: int | None = None, within_s: float = 0.0) -> list[Dispatch]:
        """Return every dispatch received, waiting first until `wait` were taken, not longer than `within_s`."""
        query = {"wait": wait, "timeout_s": within_s}
        found = self.client.call("GET", f"{_CONTROLS}/dispatches", query=query, timeout_s=within_s + 5.0)
        return msgspec.convert(found["dispatches"], list[Dispatch])

    def _post(self, control: str, /, **body: Any) -> Any:
        return self.client.call("POST", _CONTROLS + control, body=body)
