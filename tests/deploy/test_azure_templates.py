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

from tests.deploy.azure_templates import AZURE, MAIN, Template, run_tool, templates
from tests.deploy.chart import CHART, suite
from zekt_common.adapters.blob_container import CONTAINER as PAYLOADS
from zekt_common.adapters.cosmos_client import DATABASE
from zekt_common.adapters.cosmos_topology import KEYS, ContainerDefinition, definitions
from zekt_common.adapters.servicebus_topology import MAX_DELIVERY_COUNT, emulator_config
from zekt_common.contracts.topology import SUBSCRIPTIONS, TOPICS

pytestmark = pytest.mark.xdist_group("azure-templates")

SERVICES = ("ingress", "identity", "router", "dispatcher")
ROLES = {
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "090c5cfd-751d-490a-894a-3ce6f1109419": "Azure Service Bus Data Owner",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Azure Service Bus Data Sender",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "e147488a-f6f5-4113-8e2d-b22465e65bf6": "Key Vault Crypto Service Encryption User",
}
GIVEN_IN = {
    "blob": {"Storage Blob Data Contributor", "Storage Blob Data Reader"},
    "keyVault": {"Key Vault Crypto Service Encryption User"},
    "keyVaultSecrets": {"Key Vault Secrets User"},
    "servicebus": {"Azure Service Bus Data Owner"},
    "servicebusSecond": {
        "Azure Service Bus Data Owner",
        "Azure Service Bus Data Receiver",
        "Azure Service Bus Data Sender",
    },
    "servicebusSubscription": {
        "Azure Service Bus Data Owner",
        "Azure Service Bus Data Receiver",
        "Azure Service Bus Data Sender",
    },
    "servicebusTopic": {"Azure Service Bus Data Sender"},
}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
OUTPUT_USED = re.compile(r"\b(\w+)(?:\[\w+\])?\.outputs\.(\w+)")
LOADED = re.compile(r"loadJsonContent\('([^']+)'\)")
IDENTITY_OF = re.compile(r"(\w+): (?:\{\s+clientId: )?identities\[(\d)\]")


@pytest.fixture(scope="module")
def parsed() -> dict[Path, Template]:
    return templates()


@pytest.fixture
def main(parsed: dict[Path, Template]) -> Template:
    return parsed[MAIN]


def module(parsed: dict[Path, Template], name: str) -> Template:
    return parsed[AZURE / "modules" / f"{name}.bicep"]


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


def test_nobody_enters_with_a_key_or_a_password(parsed: dict[Path, Template]) -> None:
    assert module(parsed, "cosmos").resources["account"]["properties"]["disableLocalAuth"] is True
    assert module(parsed, "servicebus").resources["bus"]["properties"]["disableLocalAuth"] is True
    assert module(parsed, "servicebusSecond").resources["bus"]["properties"]["disableLocalAuth"] is True
    assert module(parsed, "blob").resources["account"]["properties"]["allowSharedKeyAccess"] is False
    assert not any("listKeys" in template.text or "@secure" in template.text for template in parsed.values())


def test_each_template_gives_the_roles_that_are_meant_and_no_others(parsed: dict[Path, Template]) -> None:
    given = {path.stem: {ROLES[role] for role in UUID.findall(template.text)} for path, template in parsed.items()}
    assert {name: roles for name, roles in given.items() if roles} == GIVEN_IN


def test_every_service_and_provisioning_have_an_identity_of_their_own(main: Template) -> None:
    parts = [*SERVICES, "provision"]
    assert main.variables["parts"] == parts
    by_name = {(name, int(number)) for name, number in IDENTITY_OF.findall(main.text)}
    assert by_name == {(part, number) for number, part in enumerate(parts)}
    assert main.modules["identities"][1]["subject"].endswith(":${clusterNamespace}:${chartFullname}-${part}")


def test_a_secret_is_shown_to_whom_it_is_said_to_be_for_and_no_more_of_the_vault(
    main: Template, parsed: dict[Path, Template]
) -> None:
    access = module(parsed, "keyVaultSecrets").resources["access"]
    assert access["properties"]["principalId"] == "principal"
    assert re.search(r"scope: secrets\[i\]", module(parsed, "keyVaultSecrets").text)
    assert re.search(r"names: reader\.value\s+principal: principals\[reader\.key\]", module(parsed, "keyVault").text)
    assert main.modules["keyVault"][1]["secretNames"] == "secretNames"


def test_the_example_shows_each_service_the_secrets_that_the_chart_gives_it() -> None:
    shown = example_secret_names()
    names = yaml.safe_load((CHART / "values.yaml").read_text())["secrets"]["keys"]
    for_services = {
        service: {names[secret] for secret, each in suite()["secrets"].items() if service in each["for"]} - {""}
        for service in SERVICES
    }
    assert shown == {service: wanted for service, wanted in for_services.items() if wanted}


def example_secret_names() -> dict[str, set[str]]:
    text = (AZURE / "example.bicepparam").read_text().replace("// ", "")
    (said,) = re.findall(r"^param secretNames = \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return {reader: set(re.findall(r"'([^']+)'", names)) for reader, names in re.findall(r"(\w+): \[(.*?)\]", said)}


def test_keda_has_an_identity_of_its_own_that_looks_at_subscriptions_alone(
    main: Template, parsed: dict[Path, Template]
) -> None:
    _, given = main.modules["scaler"]
    assert given["subject"] == "system:serviceaccount:${kedaNamespace}:${kedaServiceAccount}"
    assert re.search(r"keda: \{\s+clientId: scaler\.outputs\.clientId", main.text)
    counting = module(parsed, "servicebusSubscription").resources["counting"]
    assert counting["scope"] == "made"
    assert counting["properties"]["principalId"] == "scaler"
    for name in ("cosmos", "cosmosKeys", "blob", "keyVault"):
        assert "scaler" not in str(main.modules[name][1]), name


def test_each_identity_is_that_of_one_service_account_in_both_clusters(
    main: Template, parsed: dict[Path, Template]
) -> None:
    assert main.modules["identities"][1]["issuers"] == main.modules["scaler"][1]["issuers"] == "issuers"
    assert "secondClusterIssuer" in str(main.variables["issuers"])
    text = module(parsed, "identity").text
    assert re.search(r"@batchSize\(1\)\nresource federated .* = \[for \(issuer, i\) in issuers:", text)
    assert "name: i == 0 ? 'cluster' : 'cluster-${i + 1}'" in text


def test_a_second_region_added_later_collides_with_no_name(parsed: dict[Path, Template]) -> None:
    made = module(parsed, "servicebus").resources
    alias = module(parsed, "servicebus").variables["alias"]
    assert made["bus"]["name"] == "name"
    assert made["pairing"]["name"] == "alias"
    names = re.findall(r"'\$\{name\}(-\w+)?'", module(parsed, "servicebus").text)
    assert set(names) == {"-pair", "-second"}
    assert "-pair" in str(alias)
    assert "isPaired ? alias : bus.name" in module(parsed, "servicebus").text


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


def test_the_second_bus_lets_everybody_do_what_the_first_does(parsed: dict[Path, Template]) -> None:
    second = module(parsed, "servicebusSecond")
    _, using = second.modules["access"]
    _, owning = second.modules["owning"]
    assert set(using["principals"]) == set(SERVICES)
    assert set(owning["principals"]) == {"provision", "keda"}
    assert owning["role"] == "dataOwner"


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
