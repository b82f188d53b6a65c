"""Azure's resources as code make what the code needs: the same topics, containers and roles, and nothing open.

The compiler of these templates is not among the tools here, but in CI: a parser reads them, and these tests look for
what a compiler would refuse first, names that lead nowhere.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.azure_templates import AZURE, MAIN, SERVICES, Template, module, run_tool
from tests.deploy.chart import CHART
from zekt_common.adapters.blob_container import CONTAINER as PAYLOADS
from zekt_common.adapters.cosmos_client import DATABASE
from zekt_common.adapters.cosmos_topology import KEYS, ContainerDefinition, definitions
from zekt_common.adapters.servicebus_topology import MAX_DELIVERY_COUNT, emulator_config
from zekt_common.contracts.topology import SUBSCRIPTIONS, TOPICS

pytestmark = pytest.mark.xdist_group("azure-templates")

OUTPUT_USED = re.compile(r"\b(\w+)(?:\[\w+\])?\.outputs\.(\w+)")
LOADED = re.compile(r"loadJsonContent\('([^']+)'\)")


def uses(parsed: dict[Path, Template]) -> Iterator[tuple[str, Template, dict[str, Any]]]:
    """Yield where each module is used, the module, and the parameters that it is given."""
    for path, template in parsed.items():
        for name, (used, given) in template.modules.items():
            yield f"{path.name}: {name}", parsed[used], given


def test_every_module_is_given_what_it_asks_for_and_nothing_else(parsed: dict[Path, Template]) -> None:
    for where, used, given in uses(parsed):
        assert used.required <= set(given) <= used.parameters, where


def test_every_output_that_is_used_is_one(parsed: dict[Path, Template]) -> None:
    for path, template in parsed.items():
        for name, output in OUTPUT_USED.findall(template.text):
            used, _ = template.modules[name]
            assert output in parsed[used].outputs, f"{path.name}: {name}.{output}"


def test_every_parameter_and_variable_is_used(parsed: dict[Path, Template]) -> None:
    for path, template in parsed.items():
        for name in template.parameters | set(template.variables):
            assert len(re.findall(rf"\b{name}\b", template.text)) > 1, f"{path.name}: {name}"


def test_every_template_is_used(parsed: dict[Path, Template]) -> None:
    assert {used.path for _, used, _ in uses(parsed)} | {MAIN} == set(parsed)


def test_the_topics_are_those_of_the_contracts(main: Template) -> None:
    [loaded] = [path for path in LOADED.findall(main.text) if path.endswith("Config.json")]
    config = json.loads((AZURE / loaded).read_text())
    assert config == emulator_config()
    [namespace] = config["UserConfig"]["Namespaces"]
    assert [topic["Name"] for topic in namespace["Topics"]] == list(TOPICS)
    found = {(topic["Name"], each["Name"]) for topic in namespace["Topics"] for each in topic["Subscriptions"]}
    assert found == {(each.topic, each.name) for each in SUBSCRIPTIONS}


def test_topics_detect_duplicates_and_subscriptions_are_as_provisioning_wants_them(
    parsed: dict[Path, Template],
) -> None:
    topic = module(parsed, "servicebusTopic").resources["made"]["properties"]
    assert set(topic) == {"requiresDuplicateDetection", "duplicateDetectionHistoryTimeWindow"}
    subscription = module(parsed, "servicebusSubscription").resources["made"]["properties"]
    assert subscription["maxDeliveryCount"] == MAX_DELIVERY_COUNT
    assert set(subscription) >= {"lockDuration", "deadLetteringOnMessageExpiration"}


def test_a_subscription_has_its_two_rules_and_a_default_that_lets_nothing_through(parsed: dict[Path, Template]) -> None:
    made = module(parsed, "servicebusSubscription").resources
    rules = {name: each for name, each in made.items() if each["type"].endswith("/rules")}
    assert set(rules) == {"rules", "nothing"}
    assert rules["rules"]["properties"]["filterType"] == "CorrelationFilter"
    assert rules["nothing"]["name"] == "$Default"
    assert rules["nothing"]["properties"]["sqlFilter"] == {"sqlExpression": "1=0"}
    for topic in emulator_config()["UserConfig"]["Namespaces"][0]["Topics"]:
        assert {len(each["Rules"]) for each in topic["Subscriptions"]} <= {2}


def as_code(definition: ContainerDefinition) -> dict[str, Any]:
    owners = SERVICES if definition.name == KEYS else [definition.name.partition("-")[2]]
    return {
        "name": definition.name,
        "partitionKey": definition.partition_key,
        "indexingPolicy": definition.indexing_policy,
        "defaultTtl": definition.default_ttl_s,
        "owners": list(owners),
        "role": definition.name.partition("-")[0],
    }


def test_the_containers_are_those_of_the_adapters_and_each_belongs_to_its_service(main: Template) -> None:
    wanted = definitions(SERVICES)
    of_events = json.loads((AZURE / "containers.json").read_text())
    of_keys = json.loads((AZURE / "keyContainers.json").read_text())
    assert of_events == [as_code(each) for each in wanted if each.name != KEYS]
    assert of_keys == [as_code(each) for each in wanted if each.name == KEYS]
    assert {"containers.json", "keyContainers.json"} < set(LOADED.findall(main.text))


def test_events_are_backed_up_continuously_and_keys_as_short_as_may_be(main: Template) -> None:
    _, events = main.modules["cosmos"]
    _, keys = main.modules["cosmosKeys"]
    assert events["backupPolicy"]["type"] == "Continuous"
    assert keys["backupPolicy"]["type"] == "Periodic"
    assert keys["backupPolicy"]["periodicModeProperties"]["backupRetentionIntervalInHours"] == 8


def test_an_account_writes_in_one_region_and_holds_the_database_of_the_setting(parsed: dict[Path, Template]) -> None:
    made = module(parsed, "cosmos").resources
    assert made["account"]["properties"]["enableMultipleWriteLocations"] is False
    assert made["database"]["name"] == DATABASE


def test_payloads_have_their_container_and_a_lifecycle_that_deletes_no_earlier_than_they_expire(
    parsed: dict[Path, Template],
) -> None:
    made = module(parsed, "blob").resources
    assert made["payloads"]["name"] == PAYLOADS
    [rule] = made["lifecycle"]["properties"]["policy"]["rules"]
    assert rule["definition"]["filters"] == {"blobTypes": ["blockBlob"], "prefixMatch": [f"{PAYLOADS}/"]}
    assert rule["definition"]["actions"] == {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 90}}}


def test_a_second_region_added_later_collides_with_no_name(parsed: dict[Path, Template]) -> None:
    alias = module(parsed, "servicebus").variables["alias"]
    assert module(parsed, "servicebus").resources["bus"]["name"] == "name"
    assert module(parsed, "servicebusPairing").resources["pairing"]["name"] == "alias"
    names = re.findall(r"'\$\{name\}(-\w+)?'", module(parsed, "servicebus").text)
    assert set(names) == {"-pair", "-second"}
    assert "-pair" in str(alias)
    assert "isPaired ? alias : bus.name" in module(parsed, "servicebus").text


def waits_for(module_name: str, template: Template) -> list[str]:
    """Return what a module comes after, beyond what it is given by others."""
    found = re.search(rf"^module {module_name} .*?^\}}", template.text, re.MULTILINE | re.DOTALL)
    assert found
    return re.findall(r"\w+", found[0].partition("dependsOn: [")[2].partition("]")[0])


def test_a_bus_is_paired_when_both_have_private_endpoints_since_azure_refuses_one_without(main: Template) -> None:
    assert waits_for("pairing", main) == ["secondEndpoints"]
    assert waits_for("secondEndpoints", main) == ["endpoints"]  # nor does an account take two endpoints at a time
    for name in ("endpoints", "secondEndpoints"):
        assert re.search(r"firstBus|secondBus", str(main.modules[name][1]["targets"])), name


def test_a_bus_that_stands_by_is_left_alone_but_for_its_roles_since_azure_refuses_to_change_it(
    main: Template, parsed: dict[Path, Template]
) -> None:
    second = module(parsed, "servicebusSecond")
    assert re.search(r"^resource bus '\S+' = if \(!isPaired\) \{", second.text, re.MULTILINE)
    assert set(second.resources) == {"bus"}
    assert re.search(r"^module pairing '\S+' = if \(isPaired && !secondBusPaired\) \{", main.text, re.MULTILINE)
    assert main.modules["servicebus"][1]["secondBusPaired"] == "secondBusPaired"
    assert module(parsed, "servicebus").modules["second"][1]["isPaired"] == "secondBusPaired"
    assert "secondBusPaired = true" in (AZURE / "example.bicepparam").read_text()


def test_adding_a_region_changes_nothing_of_an_account_but_its_regions(
    main: Template, parsed: dict[Path, Template]
) -> None:
    properties = module(parsed, "cosmos").resources["account"]["properties"]
    of_regions = {name for name, said in properties.items() if re.search("isPaired|secondLocation", str(said))}
    assert of_regions == {"locations"}
    assert properties["enableAutomaticFailover"] is True
    for name in ("cosmos", "cosmosKeys"):
        _, given = main.modules[name]
        assert {each for each, said in given.items() if re.search("isPaired|secondLocation", str(said))} == {
            "secondLocation"
        }, name


def test_what_the_standard_tier_does_not_carry_is_said_where_it_is_chosen(main: Template) -> None:
    described = re.search(r"@description\('([^']*Standard[^']*)'\)\n@allowed", main.text)
    assert described
    for text in (described[1], (AZURE / "README.md").read_text()):
        assert "about 1,000 operations a second" in text
        assert "256 KB a message" in text


def settings_in(values: dict[str, Any], *above: str) -> Iterator[tuple[str, ...]]:
    """Yield the path to each value; what the parser made of an expression is one."""
    for name, value in values.items():
        if isinstance(value, dict) and not {"operator", "interpolation", "function"} & set(value):
            yield from settings_in(value, *above, name)
        else:
            yield (*above, name)


def test_what_is_put_out_is_what_the_chart_takes(main: Template) -> None:
    put_out = set(settings_in(main.content["outputs"]["values"]["value"]))
    chart = yaml.safe_load((CHART / "values.yaml").read_text())
    assert put_out <= set(settings_in(chart))
    assert set(settings_in(chart["azure"], "azure")) <= put_out
    assert {("keda", "clientId"), ("secrets", "keyVault", "name"), ("provision", "clientId")} <= put_out


def test_checkov_finds_nothing_and_whatever_it_is_to_pass_over_has_a_reason() -> None:
    options = ["--framework", "bicep", "--skip-download", "--output", "json"]
    report = json.loads(run_tool("checkov", "--directory", str(AZURE), *options))
    assert report["results"]["failed_checks"] == []
    assert report["results"]["parsing_errors"] == []
    assert report["summary"]["passed"] > 10
    assert all(each["check_result"]["suppress_comment"] for each in report["results"]["skipped_checks"])
