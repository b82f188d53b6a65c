import re
from pathlib import Path

from zekt_sandbox.cosmos import CosmosSandbox
from zekt_sandbox.cosmos.control import ROUTES
from zekt_sandbox.cosmos.faults import KINDS

SECTION = (Path(__file__).parents[2] / "README.md").read_text().partition("## Cosmos DB\n")[2].partition("\n## ")[0]


async def test_the_example_runs() -> None:
    code = SECTION.partition("```python\n")[2].partition("```")[0]
    body = "".join(f"    {line}\n" for line in code.splitlines())
    scope: dict[str, object] = {}
    exec(f"async def example():\n{body}    return sandbox.requests\n", scope)  # noqa: S102  our own README
    example = scope["example"]
    assert callable(example)
    assert (await example())["create"] == 2


def test_every_control_and_kind_of_fault_is_named(sandbox: CosmosSandbox) -> None:
    documented = re.findall(r"\| `(GET|POST|PUT|DELETE) (/_faults[\w/]*)` \|", SECTION)
    assert set(documented) == set(ROUTES)
    assert {kind for kind in KINDS if f"`{kind}`" not in SECTION} == set()
    named = re.findall(r"^\| `(\w+)", SECTION, re.MULTILINE)
    assert {name for name in named if not hasattr(sandbox, name)} == set()
