"""`zekt up`: the whole suite in one process."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import click

from zekt_cli import __version__, options
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.hosting.directory import announce, announced, occupied
from zekt_cli.hosting.ports import read_host, urls_of, with_ports
from zekt_cli.hosting.sandbox import StandIn, stand_in
from zekt_cli.output import print_line
from zekt_cli.suite import SANDBOX_FILE, SUITE_FILE, SuiteState
from zekt_common.adapters.backend_settings import BACKEND
from zekt_common.errors import SettingsError, ZektError
from zekt_common.kit.settings import HostSettings


@click.command("up")
@click.option("--host", help="The address to listen on [env: ZEKT_HOST; default: 127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="The public port [env: ZEKT_PORT; default: 8080].")
@click.option("--internal-port", type=click.IntRange(0, 65535), help="[env: ZEKT_INTERNAL_PORT; default: 8079].")
@click.option(
    "--backend",
    type=click.Choice(["sqlite", "azure"]),
    help="The engine [env: ZEKT_BACKEND; default: sqlite]. For azure see docs/azure.md.",
)
@click.option("--sandbox", is_flag=True, help="Also start stand-ins and use them: GitHub, and Azure's services.")
@click.option(
    "--sandbox-port",
    type=click.IntRange(0, 65535),
    envvar="ZEKT_SANDBOX_PORT",
    default=8081,
    show_default=True,
    help="The stand-in's port [env: ZEKT_SANDBOX_PORT].",
)
@options.data_dir
@options.as_json
def command(*, sandbox: bool, sandbox_port: int, as_json: bool, **flags: str | int | Path | None) -> None:
    """Run the whole suite in one process until SIGTERM or Ctrl-C.

    A port of 0 takes a free one. Settings come from the environment; see the README for their names.
    """
    env = {**os.environ, **{f"ZEKT_{name.upper()}": str(value) for name, value in flags.items() if value is not None}}
    try:
        with ExitStack() as resources:
            _run(env, resources, sandbox_port=sandbox_port if sandbox else None, as_json=as_json)
    except SettingsError as error:
        raise CommandFailed(Exit.USAGE, str(error)) from error
    except (ZektError, OSError) as error:
        raise CommandFailed(Exit.CHECK_FAILED, str(error)) from error


def _run(env: dict[str, str], resources: ExitStack, *, sandbox_port: int | None, as_json: bool) -> None:
    env = with_ports(env, read_host(env), resources)
    settings = read_host(env)
    urls = urls_of(settings)
    resources.enter_context(occupied(settings.data_dir))
    for name in (SUITE_FILE, SANDBOX_FILE):
        resources.enter_context(announced(settings.data_dir / name))
    starting = None
    if sandbox_port is not None:
        hook = f"{urls.public}/webhooks/github"
        starting = resources.enter_context(stand_in(settings.data_dir, sandbox_port, hook, env))
    from zekt_cli.hosting import suite  # noqa: PLC0415 - four services are imported while the stand-in starts

    defaults = {"ZEKT_IDENTITY_URL": urls.internal, "ZEKT_PUBLIC_URL": urls.public}
    if env.get(BACKEND, "").strip() == "azure":
        env = _on_azure(env, resources, settings.data_dir, sandbox=starting is not None)
    github = starting.ready() if starting else None
    env = _with_defaults(env, defaults | (github.settings() if github else {}))
    suite.run(suite.build(env), settings, on_ready=_on_ready(settings, github, as_json=as_json), env=env)


def _on_azure(env: Mapping[str, str], resources: ExitStack, data_dir: Path, *, sandbox: bool) -> dict[str, str]:
    """Return the environment with a master key of the data directory's, and with stand-ins if there are to be any."""
    from zekt_cli.hosting import azure  # noqa: PLC0415 - what one machine never needs

    made = azure.stand_ins(resources, data_dir, env) if sandbox else {}
    env = _with_defaults(env, azure.master_key_file(data_dir, env) | made)
    if made:
        azure.provision(env, made)
    return env


def _with_defaults(env: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with `defaults` for what it leaves unset or empty."""
    return {**env, **{name: value for name, value in defaults.items() if not env.get(name, "").strip()}}


def _on_ready(settings: HostSettings, github: StandIn | None, *, as_json: bool) -> Callable[[str, str], None]:
    def say(url: str, internal_url: str) -> None:
        state = SuiteState(url=url, internal_url=internal_url, pid=os.getpid(), version=__version__)
        if github is not None:
            announce(settings.data_dir / SANDBOX_FILE, _sandbox_state(url, github))
        announce(settings.data_dir / SUITE_FILE, state)
        if as_json:
            print_line(state)
        else:
            beside = f", with a stand-in for GitHub at {github.github}" if github is not None else ""
            click.echo(f"Zekt is ready at {url}{beside}")

    return say


def _sandbox_state(url: str, github: StandIn) -> dict[str, str | int]:
    return {
        "suite": url,
        "github": github.github,
        "issuer": github.issuer,
        "webhookSecret": github.webhook_secret,
        "appId": github.app_id,
    }
