"""Telling the demo's story on a terminal."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from zekt_cli.catalog.applying import Applied
from zekt_cli.demo.github import Dispatch
from zekt_cli.output import table
from zekt_cli.tracing.order import Step
from zekt_cli.tracing.show import trace_table


@dataclass
class Narrator:
    """Numbers the steps and says how long each took."""

    console: Console
    steps: int = 0
    _since: float = field(default_factory=time.monotonic)

    def title(self) -> None:
        """Say what is about to be shown."""
        self.console.print(
            "\n[bold]Zekt demo[/]\n"
            "A release in [bold]acme[/] triggers workflows in [bold]beta[/] and [bold]gamma[/], "
            "without a shared token.\n"
            "[dim]GitHub is a stand-in on this machine: real HTTP, real signatures.[/]\n"
        )

    def step(self, text: str, *details: str) -> None:
        """Tell one finished step; details go below it."""
        self.steps += 1
        now = time.monotonic()
        self.console.print(
            f"[bold green]✓[/] [bold]{self.steps}[/]  {text} [dim]({(now - self._since) * 1000:,.0f} ms)[/]"
        )
        for detail in details:
            self.console.print(f"     [dim]{detail}[/]")
        self._since = now

    def dispatches(self, found: Sequence[Dispatch]) -> None:
        """Show what each consumer received."""
        shown = table("consumer", "event_type", "payload", whole=("consumer", "event_type"))
        for one in found:
            shown.add_row(one.repository, one.event_type, json.dumps(one.client_payload["zekt"]["payload"]))
        self.console.print(shown)

    def trace(self, steps: Sequence[Step]) -> None:
        """Show the causal trace."""
        self.console.print(trace_table(steps, with_streams=False))

    def kept(self, data_dir: Path) -> None:
        """Say how to look around while everything still runs."""
        self.console.print(f"Still running, until Ctrl-C. Look around with --data-dir {data_dir}", soft_wrap=True)

    def end(self, checks: int, took_s: float) -> None:
        """Say that everything held, and where to go on."""
        self.console.print(f"[bold green]All {checks} checks passed[/] in {took_s:.1f} s.")
        self.console.print("[dim]Go on with docs/first-steps.md, the same by hand, and docs/architecture.md[/]\n")

    def failed(self, why: str) -> None:
        """Name the check that failed."""
        self.console.print(f"[bold red]✗[/] [bold]{self.steps + 1}[/]  check failed: {escape(why)}")


def catalog_summary(applied: Applied) -> str:
    """Return how many entities of each kind the catalog has now."""
    kinds: dict[str, int] = {}
    for change in applied.changes:
        kinds[change.kind] = kinds.get(change.kind, 0) + 1
    plural = {"repository": "repositories"}
    return ", ".join(f"{count} {kind if count == 1 else plural.get(kind, f'{kind}s')}" for kind, count in kinds.items())
