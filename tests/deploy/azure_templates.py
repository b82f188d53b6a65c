"""The Bicep templates as a parser reads them. The parser comes with checkov, in an environment of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
AZURE: Final = ROOT / "deploy" / "azure"
MAIN: Final = AZURE / "main.bicep"
SERVICES: Final = ("ingress", "identity", "router", "dispatcher")
ENDS_WITHIN_S: Final = 240
_PARSE: Final = """
import json, pathlib, sys
from pycep import BicepParser
parser = BicepParser()
print(json.dumps({path: parser.parse(text=pathlib.Path(path).read_text()) for path in sys.argv[1:]}, default=str))
"""


@dataclass(frozen=True)
class Template:
    """One template: its text, and what the parser found in it."""

    path: Path
    content: dict[str, Any]

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def parameters(self) -> set[str]:
        return set(self.content.get("parameters", {}))

    @property
    def required(self) -> set[str]:
        """Return the parameters without a default."""
        declared = self.content.get("parameters", {})
        return {name for name, each in declared.items() if each.get("default") is None}

    @property
    def outputs(self) -> set[str]:
        return set(self.content.get("outputs", {}))

    @property
    def variables(self) -> dict[str, Any]:
        return {name: each["value"] for name, each in self.content.get("variables", {}).items()}

    @property
    def modules(self) -> dict[str, tuple[Path, dict[str, Any]]]:
        """Return where each module lies, and the parameters that it is given."""
        found = self.content.get("modules", {}).items()
        return {name: ((self.path.parent / each["detail"]["path"]), _of_one(each)["params"]) for name, each in found}

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Return what is said of each resource that the template makes; of those in a loop, what is said of each."""
        found = self.content.get("resources", {}).items()
        return {name: {"type": each["type"], **_of_one(each)} for name, each in found if not each["existing"]}


def templates() -> dict[Path, Template]:
    """Parse them all."""
    paths = sorted(AZURE.rglob("*.bicep"))
    parsed = json.loads(run_tool("python", "-c", _PARSE, *map(str, paths)))
    return {path: Template(path, parsed[str(path)]) for path in paths}


def run_tool(*command: str) -> str:
    """Run a command of checkov's environment, which is installed from its lock first, and return what it prints."""
    uv = Path(sys.executable).with_name("uv")
    tool = [str(uv), "run", "--frozen", "--quiet", "--project", str(ROOT / "tools" / "checkov"), *command]
    ended = subprocess.run(tool, cwd=ROOT, capture_output=True, text=True, timeout=ENDS_WITHIN_S, check=False)
    assert ended.returncode == 0, f"{command[0]} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def module(parsed: dict[Path, Template], name: str) -> Template:
    """Return the module of this name."""
    return parsed[AZURE / "modules" / f"{name}.bicep"]


def _of_one(statement: dict[str, Any]) -> dict[str, Any]:
    """Return what a statement says, or what it says of each in a loop or under a condition."""
    said: dict[str, Any] = statement["config"]
    while "loop_type" in said or "condition" in said:
        said = said["config"]
    return said
