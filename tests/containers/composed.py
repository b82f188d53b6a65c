"""The SQLite composition as Docker runs it, with a stand-in for GitHub beside it."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.containers.commands import ROOT, compose_command, output
from tests.containers.images import IMAGES, SERVICES, TAG, name_of

PROJECT: Final = "zekt-test"
HERE: Final = Path(__file__).parent
UP_WITHIN_S: Final = 120
LOAD_ENDS_WITHIN_S: Final = 180
LOOK_AGAIN_S: Final = 0.2


@dataclass(frozen=True)
class State:
    """One container as Docker sees it."""

    id: str
    pid: int
    restarts: int
    health: str
    image: str

    def has_come_back(self, before: "State") -> bool:
        """Return whether Docker has restarted it since, and it is well."""
        return self.restarts > before.restarts and self.is_well

    @property
    def is_well(self) -> bool:
        return self.pid > 0 and self.health in ("healthy", "")


@dataclass(frozen=True)
class Composed:
    """A running composition."""

    environment: dict[str, str]
    control: Path

    def compose(self, *arguments: str, within_s: float = UP_WITHIN_S, **settings: str) -> str:
        """Run a compose command and return what it says."""
        files = ("-f", str(ROOT / "docker-compose.sqlite.yml"), "-f", str(HERE / "sandbox.yml"))
        command = [*compose_command(), "--project-directory", str(ROOT), "-p", PROJECT, *files, *arguments]
        return output(command, self.environment | settings, within_s)

    def inside(self, action: str) -> Any:
        """Run `driver.py` beside the services, and return what it found."""
        return json.loads(self.compose("run", "--rm", "-T", "inside", action).splitlines()[-1])

    @contextmanager
    def under_load(self) -> Iterator[Future[dict[str, Any]]]:
        """Send webhooks and messages from outside until the block ends; what became of them is known then."""
        stop = self.control / "stop"
        stop.unlink(missing_ok=True)
        within_s = UP_WITHIN_S * 5
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(self.compose, "run", "--rm", "-T", "outside", "load", within_s=within_s)
            found: Future[dict[str, Any]] = Future()
            try:
                yield found
            finally:
                stop.touch()
            found.set_result(json.loads(loading.result(LOAD_ENDS_WITHIN_S).splitlines()[-1]))

    def recreate(self, service: str, tag: str) -> None:
        """Replace the service's container by one of another version, and wait until it is well."""
        before = self.state(service)
        self.compose("up", "-d", "--no-deps", service, ZEKT_TAG=tag)
        after = self.until_well(service)
        assert after.id != before.id, service
        assert after.image == name_of(service, tag)

    def state(self, service: str) -> State:
        """Return what Docker says of the service's container.

        Compose 1 would look at every container of the project, and fail over one that `run --rm` has just removed.
        """
        labels = {"project": PROJECT, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        (id_,) = output(["docker", "ps", "--all", "--quiet", "--no-trunc", *filters]).split()
        return _state_of(id_)

    def until_well(self, service: str) -> State:
        """Wait until the service's container runs and is healthy."""
        return _eventually(self.state(service), lambda state: state.is_well, f"{service} is not well")

    def until_back(self, service: str, before: State) -> None:
        """Wait until Docker has restarted the service's container, and it is healthy."""
        _eventually(before, lambda state: state.has_come_back(before), f"{service} does not come back")

    def strike(self, service: str) -> State:
        """SIGKILL the container's first process from outside, as the kernel would, and return what it was before.

        `docker kill` would tell Docker that it is meant to stay down.
        """
        before = self.state(service)
        kill = f"import os; os.kill({before.pid}, 9)"
        outside = ("--pid", "host", "--user", "0", "--cap-add", "KILL", "--entrypoint", "python")
        output(["docker", "run", "--rm", *outside, name_of("cli"), "-c", kill], self.environment)
        return before


@contextmanager
def composition(directory: Path, tag: str = TAG) -> Iterator[Composed]:
    """Bring the suite of this version up, and take it down with its volume when the block ends."""
    key_file, control = directory / "github-app.pem", directory / "control"
    key_file.write_bytes(_private_key())
    key_file.chmod(0o644)  # the containers' user is another one
    control.mkdir(mode=0o755)
    settings = {
        "ZEKT_IMAGES": IMAGES,
        "ZEKT_TAG": tag,
        "ZEKT_TAG_OUTSIDE": TAG,
        "ZEKT_GITHUB_APP_ID": "7",
        "ZEKT_GITHUB_WEBHOOK_SECRETS": "a-secret-for-tests",
        "ZEKT_GITHUB_API_URL": "http://127.0.0.1:8070",
        "ZEKT_GITHUB_OIDC_ISSUER": "http://127.0.0.1:8070/oidc",
        "GITHUB_APP_KEY_FILE": str(key_file),
        "CONTROL_DIR": str(control),
    }
    composed = Composed(os.environ | settings, control)
    try:
        composed.compose("up", "-d", *_waiting(), within_s=300)
        for service in (*SERVICES, "gateway"):
            composed.until_well(service)
        yield composed
    except BaseException:
        print(composed.compose("ps"), composed.compose("logs", "--tail=40"))
        raise
    finally:
        composed.compose("down", "--volumes", "--timeout", "15")


def _waiting() -> Sequence[str]:
    """Return the option with which Compose itself waits until all is healthy, where it has one."""
    return ("--wait",) if compose_command() == ["docker", "compose"] else ()


def _state_of(id_: str) -> State:
    (found,) = json.loads(output(["docker", "inspect", id_]))
    health = found["State"].get("Health", {}).get("Status", "")
    return State(id_, found["State"]["Pid"], found["RestartCount"], health, found["Config"]["Image"])


def _eventually(state: State, is_reached: Callable[[State], bool], otherwise: str) -> State:
    deadline = time.monotonic() + UP_WITHIN_S
    while not is_reached(state):
        assert time.monotonic() < deadline, f"{otherwise}: {state}"
        time.sleep(LOOK_AGAIN_S)
        state = _state_of(state.id)
    return state


def _private_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
