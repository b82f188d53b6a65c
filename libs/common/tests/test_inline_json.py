import msgspec
import pytest

from zekt_common.contracts.ingress import MessageReceived
from zekt_common.contracts.router import DeliveryRequested
from zekt_common.envelope import Event
from zekt_common.inline_json import InlineJson


class Noted(msgspec.Struct, frozen=True, omit_defaults=True):
    note: InlineJson = None


@pytest.mark.parametrize("content", [b'{"a": [1, 2.50]}', b"null", b'"x"', b"[]"])
def test_inline_json_comes_back_byte_for_byte(content: bytes) -> None:
    read = msgspec.json.decode(msgspec.json.encode(Noted(msgspec.Raw(content))), type=Noted)
    assert read.note is not None
    assert bytes(read.note) == content


def test_no_inline_json_comes_back_as_none() -> None:
    assert msgspec.json.encode(Noted()) == b"{}"
    assert msgspec.json.decode(b"{}", type=Noted).note is None


@pytest.mark.parametrize("contract", [MessageReceived, DeliveryRequested])
def test_every_contract_with_inline_json_leaves_it_out_when_there_is_none(contract: type[Event]) -> None:
    """With a null on the wire it would come back as a JSON null."""
    assert contract.__struct_config__.omit_defaults
