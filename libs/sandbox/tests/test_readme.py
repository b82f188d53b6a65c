import re
from pathlib import Path

from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.control import build_control_app
from zekt_sandbox.github.core import build_core
from zekt_sandbox.github.limits import Limits
from zekt_sandbox.github.state import AppRegistration, Ids

README = (Path(__file__).parents[1] / "README.md").read_text()
CONTROLS = README.partition("## Controls")[2]


def documented_routes() -> set[tuple[str, str]]:
    """(method, path) of each row, with the parameters' names left out."""
    found = set()
    for row in re.findall(r"^\| (`(?:GET|PUT|POST|PATCH|DELETE).*?) \|", CONTROLS, re.MULTILINE):
        path = re.search(r" (/[^`]*)`", row.split("|")[0])
        assert path is not None, row
        for call in re.findall(r"`([^`]*)`", row):
            method, _, own = call.partition(" ")
            found.add((method, re.sub(r"{\w+}", "{}", own or path.group(1))))
    return found


def test_the_table_of_controls_names_each_route_there_is(private_key_pem: str) -> None:
    app = build_control_app(build_core(AppRegistration(1, private_key_pem, "s"), Ids(), Limits()))
    routes = {
        (route.method, re.sub(r"{\w+}", "{}", route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert documented_routes() == routes


def test_the_table_names_only_methods_that_exist() -> None:
    cells = re.findall(r"^\| `(?:GET|PUT|POST|PATCH|DELETE).* \| ([^|]*) \|$", CONTROLS, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    assert len(named) > 25
    assert {name for name in named if not hasattr(GitHubSandbox, name)} == set()


async def test_the_example_runs() -> None:
    code = README.partition("```python\n")[2].partition("```")[0]
    # Nothing listens there, so the example sees a delivery that failed and waits for no dispatch.
    code = code.replace(":8080/", ":1/").replace("wait_for_dispatches(2,", "wait_for_dispatches(0,")
    body = "".join(f"    {line}\n" for line in code.splitlines())
    scope: dict[str, object] = {}
    exec(f"async def example():\n{body}    return delivery\n", scope)  # noqa: S102  our own README
    example = scope["example"]
    assert callable(example)
    assert (await example()).status == "failed to connect to host"
