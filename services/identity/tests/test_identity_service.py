import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from zekt_common.contracts.identity import InstallationTokenRequest
from zekt_common.errors import SettingsError
from zekt_common.kit.identity_client import TokensUnavailable
from zekt_identity.settings import IdentitySettings
from zekt_sandbox import GitHubSandbox

from .conftest import identity_at


def rsa_pem() -> bytes:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def test_settings_come_from_the_environment_and_hide_the_key(tmp_path: Path) -> None:
    (tmp_path / "app.pem").write_bytes(rsa_pem())
    settings = IdentitySettings.from_env(
        {
            "ZEKT_GITHUB_API_URL": "https://ghe.example/api/v3/",
            "ZEKT_GITHUB_APP_ID": "7",
            "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(tmp_path / "app.pem"),
        }
    )
    assert (settings.github_api_url, settings.app_id) == ("https://ghe.example/api/v3", 7)
    assert "PRIVATE KEY" not in repr(settings)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"ed25519"])
def test_a_key_file_without_an_rsa_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    if content == b"ed25519":
        content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "app.pem").write_bytes(content)
    env = {"ZEKT_GITHUB_APP_ID": "7", "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(tmp_path / "app.pem")}
    with pytest.raises(SettingsError, match="ZEKT_GITHUB_APP_PRIVATE_KEY_FILE names a file that holds no"):
        IdentitySettings.from_env(env)


def test_everything_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as wrong:
        IdentitySettings.from_env({})
    assert str(wrong.value) == "ZEKT_GITHUB_APP_ID is not set; ZEKT_GITHUB_APP_PRIVATE_KEY_FILE is not set"


async def test_refused_credentials_make_it_unready_and_look_ups_worth_another_try(
    sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    async with identity_at(sandbox, tmp_path, private_key_pem=rsa_pem()) as identity:
        with pytest.raises(TokensUnavailable, match="app_credentials_refused") as unavailable:
            await identity.client.token(
                InstallationTokenRequest(repository="beta/consumer", permissions={"contents": "write"}, purpose="x")
            )
        assert unavailable.value.retry_after_s == 60
        async with identity.http.get(f"{identity.hosted.url}/ready") as response:
            body = json.loads(await response.read())
        assert (response.status, body["status"]) == (503, "unready")
        check = body["checks"][0]
        assert check["name"] == "identity.github_app"
        assert "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE" in check["detail"]


async def test_another_app_id_makes_it_unready(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    async with identity_at(sandbox, tmp_path, app_id=sandbox.app_id + 1) as identity:
        with pytest.raises(TokensUnavailable):
            await identity.client.token(
                InstallationTokenRequest(repository="beta/consumer", permissions={"contents": "write"}, purpose="x")
            )
        assert (await identity.hosted.readiness()).status == "unready"


async def test_github_out_of_reach_does_not_make_it_unready(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    sandbox.add_fault("error", path="/app", count=None, status=503)
    async with identity_at(sandbox, tmp_path) as identity:
        await identity.hosted.until_ready()
        check = (await identity.hosted.readiness()).checks[0]
        assert "GitHub answered 503" in check.detail
        sandbox.clear_faults()
        while (await identity.hosted.readiness()).checks[0].detail:
            await identity.hosted.until_ready()


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    (tmp_path / "app.pem").write_bytes(rsa_pem())
    return {"ZEKT_GITHUB_APP_ID": "7", "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(tmp_path / "app.pem"), **more}


def test_sign_in_needs_both_halves_of_the_oauth_client(tmp_path: Path) -> None:
    assert IdentitySettings.from_env(environment(tmp_path)).oauth is None
    half = environment(tmp_path, ZEKT_GITHUB_OAUTH_CLIENT_ID="Iv1.x")
    with pytest.raises(SettingsError, match="ZEKT_GITHUB_OAUTH_CLIENT_SECRET is not set, though"):
        IdentitySettings.from_env(half)
    settings = IdentitySettings.from_env(half | {"ZEKT_GITHUB_OAUTH_CLIENT_SECRET": "s3cret"})
    assert settings.oauth is not None
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("api_url", "github_url"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
        ("https://ghe.example/api/v3", "https://ghe.example"),
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
    ],
)
def test_where_people_reach_github_follows_from_its_api(tmp_path: Path, api_url: str, github_url: str) -> None:
    assert IdentitySettings.from_env(environment(tmp_path, ZEKT_GITHUB_API_URL=api_url)).github_url == github_url


def test_people_are_never_sent_to_a_public_url_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ZEKT_PUBLIC_URL must be an https URL"):
        IdentitySettings.from_env(environment(tmp_path, ZEKT_PUBLIC_URL="http://zekt.example"))
