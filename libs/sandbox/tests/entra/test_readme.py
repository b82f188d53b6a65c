from pathlib import Path

import zekt_sandbox.entra

SECTION = (Path(__file__).parents[2] / "README.md").read_text().partition("## Entra ID")[2].partition("\n## ")[0]


async def test_the_example_runs() -> None:
    code = SECTION.partition("```python\n")[2].partition("```")[0]
    body = "".join(f"    {line}\n" for line in code.splitlines())
    scope: dict[str, object] = {}
    exec(f"async def example():\n{body}    return tenant, assertion, forged\n", scope)  # noqa: S102  our own README
    example = scope["example"]
    assert callable(example)
    tenant, assertion, forged = await example()
    assert isinstance(tenant, zekt_sandbox.entra.EntraSandbox)
    assert assertion.count(".") == forged.count(".") == 2
