import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from libs.common.tests.azure.identity import Certificate
from libs.common.tests.azure.vault import certify_vault, serving_vault

from zekt_sandbox.keyvault import KeyVaultSandbox


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certify_vault(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trust(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate.path)


@pytest.fixture
async def sandbox(certificate: Certificate) -> AsyncIterator[KeyVaultSandbox]:
    async with serving_vault(certificate) as running:
        yield running


@pytest.fixture
def certificate_options(certificate: Certificate) -> list[str | Path]:
    return ["--tls-cert", certificate.path, "--tls-key", certificate.key]
