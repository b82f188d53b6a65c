"""What is in an image that was built: little, nothing that builds, and a list of it all."""

import json
import re
from typing import Final

import pytest

from tests.containers.commands import WANTED
from tests.containers.images import NAMES, compressed_bytes, name_of, ran_in

pytestmark = [
    pytest.mark.skipif(not WANTED, reason="containers: `make test-containers` runs them, where a Docker engine is"),
    pytest.mark.timeout(2400),
    pytest.mark.usefixtures("images"),
    pytest.mark.parametrize("name", NAMES),
]
MOST_BYTES: Final = 120_000_000
BUILD_TOOLS: Final = ("cc", "gcc", "g++", "clang", "ld", "as", "make", "rustc", "cargo", "pip", "pip3", "uv")
INSTALLED: Final = (
    "import json, importlib.metadata as m; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
)


def test_an_image_is_small(name: str) -> None:
    size_bytes = compressed_bytes(name_of(name))
    print(name, size_bytes)
    assert size_bytes < MOST_BYTES


def test_nothing_in_an_image_builds_or_installs(name: str) -> None:
    looked_for = f"for tool in {' '.join(BUILD_TOOLS)}; do command -v $tool; done; true"
    assert ran_in(name_of(name), "sh", "-c", looked_for) == ""
    no_module = "import importlib.util as u; print([m for m in ('pip', 'setuptools', 'uv') if u.find_spec(m)])"
    assert ran_in(name_of(name), "python", "-c", no_module).strip() == "[]"


def test_an_image_runs_as_a_user_of_its_own_who_can_change_nothing(name: str) -> None:
    tried = "id -u; for at in / /opt/zekt /usr/bin /etc; do test -w $at && echo $at; done; true"
    assert ran_in(name_of(name), "sh", "-c", tried, confined=False).split() == ["10001"]


def test_an_image_works_on_a_read_only_root(name: str) -> None:
    asked = ("--version",) if name == "cli" else ("-c", f"import zekt_{name}.app; print('imported')")
    assert ran_in(name_of(name), "zekt" if name == "cli" else "python", *asked).strip()


def test_the_bill_of_materials_in_an_image_names_all_that_is_installed(name: str) -> None:
    bill = json.loads(ran_in(name_of(name), "cat", "/opt/zekt/sbom.json"))
    listed = {(each["name"], each["version"]) for each in (*bill["components"], bill["metadata"]["component"])}
    found = json.loads(ran_in(name_of(name), "python", "-c", INSTALLED))
    installed = {(re.sub("[-_.]+", "-", project).lower(), version) for project, version in found}
    assert installed <= listed
    assert ("zekt-common", dict(installed)["zekt-common"]) in listed
    assert len(listed - installed) < 5, "what is for other platforms alone is named too"
