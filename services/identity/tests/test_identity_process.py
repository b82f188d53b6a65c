"""Identity as a process of its own, beside a client in another process of the same data directory."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import aiohttp
import pytest

from zekt_common.auth.service_tokens import EmbeddedIssuer, EmbeddedTokens
from zekt_common.contracts.identity import TOKENS_INSTALLATION, InstallationTokenRequest
from zekt_common.kit.identity_client import IdentityClient
from zekt_sandbox import GitHubSandbox

pytestmark = pytest.mark.slow


def environment(sandbox: GitHubSandbox, directory: Path) -> dict[str, str]:
    key_file = directory / "app.pem"
    key_file.write_text(sandbox.private_key_pem)
    own = {
        "ZEKT_PORT": "0",
        "ZEKT_INTERNAL_PORT": "0",
        "ZEKT_DATA_DIR": str(directory / "zekt"),
        "ZEKT_GITHUB_API_URL": sandbox.url,
        "ZEKT_GITHUB_APP_ID": str(sandbox.app_id),
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(key_file),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ZEKT_", "OTEL_"))}
    return inherited | own


async def test_services_of_one_data_directory_trust_each_other(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "zekt_identity", env=environment(sandbox, tmp_path), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        ready = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        internal_url = ready.rpartition("internal ")[2].strip().rstrip(")")
        issuer = EmbeddedIssuer(tmp_path / "zekt")
        async with aiohttp.ClientSession() as http:
            own = EmbeddedTokens(issuer, service="dispatcher", roles=[TOKENS_INSTALLATION])
            client = IdentityClient(http, internal_url, own)
            token = await client.token(
                InstallationTokenRequest(repository="beta/consumer", permissions={"contents": "write"}, purpose="x")
            )
        assert token.installation_id == 72
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        assert process.returncode == 0
        assert token.token not in err.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
