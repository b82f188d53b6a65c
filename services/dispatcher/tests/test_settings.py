from datetime import timedelta

import pytest

from zekt_common.errors import SettingsError
from zekt_dispatcher.settings import DispatcherSettings


def test_nothing_has_to_be_set() -> None:
    settings = DispatcherSettings.from_env({})
    assert settings.github_api_url == "https://api.github.com"
    assert settings.identity_url == "http://127.0.0.1:8079"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.concurrency == 32
    assert settings.policy.max_attempts == 10
    assert settings.policy.max_age == timedelta(hours=48)


def test_urls_follow_the_ports_unless_they_are_set() -> None:
    settings = DispatcherSettings.from_env({"ZEKT_PORT": "9000", "ZEKT_INTERNAL_PORT": "9001"})
    assert (settings.public_url, settings.identity_url) == ("http://127.0.0.1:9000", "http://127.0.0.1:9001")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    wrong = {
        "ZEKT_GITHUB_API_URL": "ftp://x",
        "ZEKT_DISPATCHER_CONCURRENCY": "0",
        "ZEKT_DISPATCHER_MAX_ATTEMPTS": "ten",
        "ZEKT_DISPATCHER_SAFE_SIZE_BYTES": "70000",
        "ZEKT_DISPATCHER_MAX_AGE_HOURS": "-1",
    }
    with pytest.raises(SettingsError) as error:
        DispatcherSettings.from_env(wrong)
    assert [name for name in wrong if name not in str(error.value)] == []


@pytest.mark.parametrize("url", ["http://github.example/api/v3", "http://10.0.0.1"])
def test_tokens_go_to_github_over_https_alone(url: str) -> None:
    with pytest.raises(SettingsError, match="ZEKT_GITHUB_API_URL must be an https URL"):
        DispatcherSettings.from_env({"ZEKT_GITHUB_API_URL": url})


@pytest.mark.parametrize("url", ["https://github.example/api/v3", "http://127.0.0.1:8081", "http://localhost:8081"])
def test_a_stand_in_for_github_may_answer_without_tls_on_this_machine(url: str) -> None:
    assert DispatcherSettings.from_env({"ZEKT_GITHUB_API_URL": url}).github_api_url == url
