from pathlib import Path

import pytest

from zekt_common.errors import SettingsError
from zekt_common.kit.settings import EnvironmentReader, HostSettings


def test_nothing_set_gives_the_defaults() -> None:
    reader = EnvironmentReader({})
    settings = HostSettings.read(reader)
    reader.check()
    assert settings == HostSettings(data_dir=Path("./.zekt"), writer_process=True)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    reader = EnvironmentReader(
        {
            "ZEKT_PORT": "http",
            "ZEKT_INTERNAL_PORT": "70000",
            "ZEKT_LOG_FORMAT": "xml",
            "URL": "ftp://somewhere",
            "FILE": str(tmp_path / "absent.pem"),
            "EMPTY": "  ",
        }
    )
    HostSettings.read(reader)
    reader.url("URL")
    reader.file("FILE")
    reader.text("EMPTY")
    reader.number("MISSING")
    with pytest.raises(SettingsError) as wrong:
        reader.check()
    problems = str(wrong.value).split("; ")
    assert [problem.split()[0] for problem in problems] == [
        "ZEKT_PORT",
        "ZEKT_INTERNAL_PORT",
        "ZEKT_LOG_FORMAT",
        "URL",
        "FILE",
        "EMPTY",
        "MISSING",
    ]
    assert problems[4].endswith("cannot be read: No such file or directory")
    assert problems[5] == "EMPTY is not set"


def test_values_are_read_without_surrounding_space(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"content")
    reader = EnvironmentReader(
        {"A": " x ", "B": "1, 2,,3 ", "C": " https://ghe.example/api/v3/ ", "D": "0", "E": str(tmp_path / "key")}
    )
    assert reader.text("A") == "x"
    assert reader.texts("B") == ("1", "2", "3")
    assert reader.url("C") == "https://ghe.example/api/v3"
    assert reader.port("D", default=1) == 0
    assert reader.file("E") == b"content"
    assert reader.optional("F") is None
    reader.check()


@pytest.mark.parametrize(
    "value", ["https://ghe.example", "http://127.0.0.1:8081", "http://[::1]:1", "http://localhost"]
)
def test_credentials_travel_by_https_or_within_the_machine(value: str) -> None:
    reader = EnvironmentReader({"U": value})
    assert reader.secure_url("U") == value
    reader.check()


@pytest.mark.parametrize("value", ["http://ghe.example", "http://127.0.0.1.example", "http://10.0.0.1"])
def test_credentials_never_travel_in_the_clear(value: str) -> None:
    reader = EnvironmentReader({"U": value})
    reader.secure_url("U")
    with pytest.raises(SettingsError, match="U must be an https URL"):
        reader.check()


@pytest.mark.parametrize("value", ["-1", "1.5", "1e3", "٣", "0x10", "99999999999999999999999"])
def test_only_plain_whole_numbers_within_bounds_are_numbers(value: str) -> None:
    reader = EnvironmentReader({"N": value})
    reader.number("N")
    with pytest.raises(SettingsError, match="N must be a whole number from 1 to"):
        reader.check()


@pytest.mark.parametrize(
    "value", ["example.com", "http://", "http://u:p@h", "http://h?x=1", "http://h:x", "http://h#f", "http://["]
)
def test_only_plain_urls_are_urls(value: str) -> None:
    reader = EnvironmentReader({"U": value})
    reader.url("U")
    with pytest.raises(SettingsError, match=r"U must be an http\(s\) URL"):
        reader.check()
