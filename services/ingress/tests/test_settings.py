from pathlib import Path

import pytest

from zekt_common.errors import SettingsError
from zekt_ingress.settings import IngressSettings

KEYS = f"1:{'ab' * 32},2:{'cd' * 32}"


def test_settings_come_from_the_environment_and_hide_the_secrets() -> None:
    settings = IngressSettings.from_env(
        {
            "ZEKT_GITHUB_WEBHOOK_SECRETS": "old-secret, new-secret",
            "ZEKT_WEBHOOK_MASTER_KEYS": KEYS,
            "ZEKT_GITHUB_APP_ID": "7",
            "ZEKT_GITHUB_OIDC_ISSUER": "https://ghe.example/_services/token",
            "ZEKT_DATA_DIR": "/somewhere",
        }
    )
    assert settings.webhook_secrets == ("old-secret", "new-secret")
    assert settings.webhook_master_keys == (b"\xab" * 32, b"\xcd" * 32)
    assert (settings.app_id, settings.oidc_audience) == (7, "api://zekt")
    assert settings.host.data_dir == Path("/somewhere")
    assert "secret" not in repr(settings).replace("webhook_secrets", "")
    assert "xab" not in repr(settings)


def test_repository_hooks_alone_need_no_app() -> None:
    settings = IngressSettings.from_env({"ZEKT_WEBHOOK_MASTER_KEYS": KEYS})
    assert (settings.webhook_secrets, settings.app_id) == ((), None)
    assert settings.oidc_issuer == "https://token.actions.githubusercontent.com"


@pytest.mark.parametrize("secrets", [{}, {"ZEKT_GITHUB_WEBHOOK_SECRETS": " , ,"}, {"ZEKT_WEBHOOK_MASTER_KEYS": ","}])
def test_without_any_secret_it_refuses_to_start(secrets: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"ZEKT_GITHUB_WEBHOOK_SECRETS is not set, nor is ZEKT_WEBHOOK_MASTER_KEYS"):
        IngressSettings.from_env({"ZEKT_GITHUB_APP_ID": "7"} | secrets)


@pytest.mark.parametrize(
    "keys",
    ["ab" * 32, f"x:{'ab' * 32}", f":{'ab' * 32}", "1:", f"1:{'ab' * 31}", f"1:{'zz' * 32}", f"{KEYS},1:{'ee' * 32}"],
)
def test_a_master_key_of_a_wrong_form_is_refused_without_being_told(keys: str) -> None:
    with pytest.raises(SettingsError, match="ZEKT_WEBHOOK_MASTER_KEYS") as refused:
        IngressSettings.from_env({"ZEKT_WEBHOOK_MASTER_KEYS": keys})
    assert "abab" not in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        IngressSettings.from_env(
            {"ZEKT_GITHUB_WEBHOOK_SECRETS": "s", "ZEKT_PORT": "x", "ZEKT_GITHUB_OIDC_ISSUER": "not a url"}
        )
    for name in ("ZEKT_GITHUB_APP_ID", "ZEKT_PORT", "ZEKT_GITHUB_OIDC_ISSUER"):
        assert name in str(refused.value)
