import re
from pathlib import Path

from zekt_sandbox.servicebus.control import ROUTES

SECTION = (Path(__file__).parents[2] / "README.md").read_text().partition("## Service Bus\n")[2].partition("\n## ")[0]


async def test_the_example_runs() -> None:
    code = SECTION.partition("```python\n")[2].partition("```")[0]
    body = "".join(f"    {line}\n" for line in code.splitlines())
    scope: dict[str, object] = {}
    exec(f"async def example():\n{body}    return len(messages)\n", scope)  # noqa: S102  our own README
    example = scope["example"]
    assert callable(example)
    assert await example() == 1


def test_every_control_is_named() -> None:
    documented = re.findall(r"\| `(GET|POST|DELETE) (/[\w/]*)` \|", SECTION)
    assert set(documented) == set(ROUTES)
