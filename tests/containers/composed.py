"""The SQLite composition as Docker runs it, with a stand-in for GitHub beside it."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
WANTED: Final = os.environ.get("ZEKT_TEST_CONTAINERS") == "yes"
IMAGES: Final = "zekt-test"
TAG: Final = "test"
NAMES: Final = ("ingress", "identity", "router", "dispatcher", "cli")
UP_WITHIN_S: Final = 120
SETTLES_S: Final = 2


@dataclass(frozen=True)
class Composed:
    """A running composition; what is asked of it is asked from inside its network namespace."""

    environment: dict[str, str]

    def compose(self, *arguments: str, within_s: float = UP_WITHIN_S) -> str:
        """Run a compose command and return what it says."""
        files = ("-f", str(ROOT / "docker-compose.sqlite.yml"), "-f", str(HERE / "sandbox.yml"))
        command = [*_compose(), "--project-directory", str(ROOT), "-p", "zekt-test", *files, *arguments]
        return _output(command, self.environment, within_s)

    def drive(self, *arguments: str, within_s: float = UP_WITHIN_S) -> str:
        """Run `driver.py` beside the services."""
        mounted = ("-v", f"{HERE / 'driver.py'}:/driver.py:ro", "--entrypoint", "python")
        return self.compose("run", "--rm", "-T", *mounted, "zekt", "/driver.py", *arguments, within_s=within_s)

    def kill(self, service: str) -> None:
        """SIGKILL the service's container, and start it again."""
        self.compose("kill", "-s", "SIGKILL", service)
        time.sleep(SETTLES_S)
        self.compose("up", "-d", "--no-deps", "--no-recreate", service)


@contextmanager
def composition(directory: Path) -> Iterator[Composed]:
    """Bring the suite up, and take it down with its volume when the block ends."""
    key_file = directory / "github-app.pem"
    key_file.write_bytes(_private_key())
    key_file.chmod(0o644)  # the containers' user is another one
    settings = {
        "ZEKT_IMAGES": IMAGES,
        "ZEKT_TAG": TAG,
        "ZEKT_GITHUB_APP_ID": "7",
        "ZEKT_GITHUB_WEBHOOK_SECRETS": "a-secret-for-tests",
        "ZEKT_GITHUB_API_URL": "http://127.0.0.1:8070",
        "ZEKT_GITHUB_OIDC_ISSUER": "http://127.0.0.1:8070/oidc",
        "GITHUB_APP_KEY_FILE": str(key_file),
    }
    composed = Composed(os.environ | settings)
    try:
        composed.compose("up", "-d", within_s=300)
        yield composed
    except BaseException:
        print(composed.compose("logs", "--tail=40"))
        raise
    finally:
        composed.compose("down", "--volumes", "--timeout", "15")


def build_images() -> None:
    """Build all images as `make images` does, with the options that it takes from the environment."""
    _output(["make", "images", f"IMAGES={IMAGES}", f"TAG={TAG}"], dict(os.environ), 1800)


def compressed_bytes(image: str) -> int:
    """Return what the image takes in a registry, about."""
    script = f"docker save {image} | gzip -6 | wc -c"
    return int(_output(["sh", "-c", script], dict(os.environ), 300))


def _compose() -> list[str]:
    """Return the command of Compose: Docker's own, or the one that came before it."""
    own, before = ["docker", "compose"], ["docker-compose"]
    works = subprocess.run([*own, "version"], capture_output=True, check=False).returncode == 0
    return own if works or not shutil.which(before[0]) else before


def _output(command: list[str], environment: dict[str, str], within_s: float) -> str:
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=within_s
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _private_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
