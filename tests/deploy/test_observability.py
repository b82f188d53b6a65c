"""The parts that show telemetry on one machine find each other, and open nothing but loopback."""

from typing import Any

import pytest
import yaml

from tests.deploy.composition import FILES, ROOT, composition

HERE = ROOT / "deploy" / "observability"
COMPOSITION = composition("deploy/observability/compose.yaml")
BESIDE = {name: part for name, part in COMPOSITION["services"].items() if name != "network"}


def settings(name: str) -> Any:
    return yaml.safe_load((HERE / name).read_text())


def test_everything_starts_only_when_asked_for() -> None:
    assert set(BESIDE) == {"collector", "prometheus", "grafana", "jaeger"}
    for name, part in BESIDE.items():
        assert part["profiles"] == ["observability"], name
        assert (part["read_only"], part["cap_drop"]) == (True, ["ALL"]), name


def test_what_is_opened_is_open_on_loopback_alone() -> None:
    assert all(port.startswith("127.0.0.1:") for port in COMPOSITION["services"]["network"]["ports"])
    assert not any("ports" in part for part in BESIDE.values())


@pytest.mark.parametrize("name", sorted(BESIDE))
def test_a_foreign_image_has_a_version_and_can_be_a_mirrors(name: str) -> None:
    variable, _, default = BESIDE[name]["image"].removeprefix("${").removesuffix("}").partition(":-")
    assert variable == f"{name.upper()}_IMAGE"
    assert default.rpartition(":")[2].lstrip("v")[0].isdigit()


@pytest.mark.parametrize("name", FILES)
def test_it_lies_beside_either_suite(name: str) -> None:
    services = composition(name)["services"]
    assert "network" in services
    assert not set(services) & set(BESIDE)
    for service in ("ingress", "identity", "router", "dispatcher"):
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in services[service]["environment"]


def test_files_that_are_mounted_are_there() -> None:
    for part in BESIDE.values():
        for volume in part.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), source


def test_metrics_go_from_the_collector_to_prometheus_under_their_own_names() -> None:
    (scraped,) = settings("prometheus.yaml")["scrape_configs"]
    assert scraped["honor_labels"] is True
    assert scraped["static_configs"] == [
        {"targets": [settings("collector.yaml")["exporters"]["prometheus"]["endpoint"]]}
    ]


def test_traces_go_from_the_collector_to_jaeger() -> None:
    exporter = settings("collector.yaml")["exporters"]["otlp/jaeger"]
    assert exporter["endpoint"] == settings("jaeger.yaml")["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]


def test_the_documented_command_names_the_collectors_door() -> None:
    door = settings("collector.yaml")["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{door} docker compose" in (ROOT / "docs" / "telemetry.md").read_text()


def test_grafana_shows_the_charts_dashboards() -> None:
    (provider,) = settings("grafana/dashboards/zekt.yaml")["providers"]
    mounted = [volume for volume in BESIDE["grafana"]["volumes"] if volume.startswith("./deploy/helm/zekt/dashboards:")]
    assert mounted == [f"./deploy/helm/zekt/dashboards:{provider['options']['path']}:ro"]
