"""(f) From starting a process to its first `/ready` with 200, on SQLite and a fresh data directory."""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.processes import process, wait_until_answering
from tests.ports import free_port

ROUNDS = 5
MODULES = {
    "zekt up": ("zekt_cli", "up"),
    "ingress": ("zekt_ingress",),
    "identity": ("zekt_identity",),
    "router": ("zekt_router",),
    "dispatcher": ("zekt_dispatcher",),
}


def run() -> dict[str, Any]:
    """Return the median and the longest of five starts in seconds, each service alone and all in one process."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        state_file, sandbox_port = directory / "sandbox.json", free_port()
        with process("zekt_sandbox", "--port", str(sandbox_port), "--state-file", str(state_file)):
            wait_until_answering(f"http://127.0.0.1:{sandbox_port}/_sandbox/credentials")
            state = json.loads(state_file.read_text())
            return {
                label: _summary([_start_s(module, state, directory / f"{label} {number}") for number in range(ROUNDS)])
                for label, module in MODULES.items()
            }


def _start_s(module: tuple[str, ...], state: dict[str, Any], data_dir: Path) -> float:
    port, internal_port = free_port(), free_port()
    env = {
        "ZEKT_DATA_DIR": str(data_dir),
        "ZEKT_PORT": str(port),
        "ZEKT_INTERNAL_PORT": str(internal_port),
        "ZEKT_IDENTITY_URL": f"http://127.0.0.1:{internal_port}",
        "ZEKT_GITHUB_API_URL": state["github"],
        "ZEKT_GITHUB_OIDC_ISSUER": state["issuer"],
        "ZEKT_GITHUB_APP_ID": str(state["appId"]),
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": state["privateKeyFile"],
        "ZEKT_GITHUB_WEBHOOK_SECRETS": state["webhookSecret"],
    }
    began = time.perf_counter()
    with process(*module, env=env):
        wait_until_answering(f"http://127.0.0.1:{port}/ready")
        return time.perf_counter() - began


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"median s": round(statistics.median(seconds), 2), "longest s": round(max(seconds), 2)}


if __name__ == "__main__":
    for label, figures in run().items():
        print(f"{label:>11} {figures}")
