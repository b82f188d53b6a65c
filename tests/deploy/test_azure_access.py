"""Azure's templates let everybody in by an identity of its own, to what it needs and no further."""

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.azure_templates import AZURE, SERVICES, Template, module
from tests.deploy.chart import CHART, suite

pytestmark = pytest.mark.xdist_group("azure-templates")

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
IDENTITY_OF = re.compile(r"(\w+): (?:\{\s+clientId: )?identities\[(\d)\]")


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


def test_the_second_bus_lets_everybody_do_what_the_first_does(parsed: dict[Path, Template]) -> None:
    second = module(parsed, "servicebusSecond")
    _, using = second.modules["access"]
    _, owning = second.modules["owning"]
    assert set(using["principals"]) == set(SERVICES)
    assert set(owning["principals"]) == {"provision", "keda"}
    assert owning["role"] == "dataOwner"
