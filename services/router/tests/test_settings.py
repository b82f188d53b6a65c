import subprocess
import sys

import pytest

from zekt_common.errors import SettingsError
from zekt_router.settings import RouterSettings


def test_every_unusable_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        RouterSettings.from_env({"ZEKT_GITHUB_API_URL": "ftp://x", "ZEKT_PORT": "no"})
    assert all(name in str(refused.value) for name in ("ZEKT_IDENTITY_URL", "ZEKT_GITHUB_API_URL", "ZEKT_PORT"))


def test_githubs_public_api_is_the_default() -> None:
    settings = RouterSettings.from_env({"ZEKT_IDENTITY_URL": "http://127.0.0.1:8079/"})
    assert (settings.github_api_url, settings.identity_url) == ("https://api.github.com", "http://127.0.0.1:8079")


def test_the_default_sku_is_one_that_there_is() -> None:
    env = {"ZEKT_IDENTITY_URL": "http://127.0.0.1:8079"}
    assert RouterSettings.from_env(env).default_sku == "standard"
    assert RouterSettings.from_env(env | {"ZEKT_DEFAULT_SKU": "free"}).default_sku == "free"
    with pytest.raises(SettingsError, match="ZEKT_DEFAULT_SKU must be one of free, standard, enterprise, not 'gold'"):
        RouterSettings.from_env(env | {"ZEKT_DEFAULT_SKU": "gold"})


@pytest.mark.parametrize("url", ["http://github.example/api/v3", "http://10.0.0.1"])
def test_tokens_go_to_github_over_https_alone(url: str) -> None:
    with pytest.raises(SettingsError, match="ZEKT_GITHUB_API_URL must be an https URL"):
        RouterSettings.from_env({"ZEKT_IDENTITY_URL": "http://127.0.0.1:8079", "ZEKT_GITHUB_API_URL": url})


def test_the_process_says_in_one_line_what_is_missing() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "zekt_router"], env={}, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stderr == "zekt: ZEKT_IDENTITY_URL is not set\n"
