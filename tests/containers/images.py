"""The images: of this commit, and of the one to upgrade from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.containers.commands import ROOT, output

IMAGES: Final = "zekt-test"
TAG, TAG_BEFORE = "test", "before"
SERVICES: Final = ("ingress", "identity", "router", "dispatcher")
NAMES: Final = (*SERVICES, "cli")
BUILT_WITHIN_S: Final = 1800


def build(tag: str = TAG, root: Path = ROOT, names: Sequence[str] = NAMES) -> None:
    """Build images from the files there as `make images` does, with the options that it takes from the environment."""
    targets = [f"image-{name}" for name in names]
    output(["make", *targets, f"IMAGES={IMAGES}", f"TAG={tag}"], within_s=BUILT_WITHIN_S, cwd=root)


def name_of(name: str, tag: str = TAG) -> str:
    return f"{IMAGES}/{name}:{tag}"


def compressed_bytes(image: str) -> int:
    """Return what the image takes in a registry, about."""
    return int(output(["sh", "-c", f"docker save {image} | gzip -6 | wc -c"], within_s=300))


def ran_in(image: str, *command: str, confined: bool = True) -> str:
    """Run a command in the image, on a read-only root and without privileges if confined, and return its output."""
    options = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true") if confined else ()
    run = ["docker", "run", "--rm", "--network", "none", *options, "--entrypoint", command[0]]
    return output([*run, image, *command[1:]])
