"""Atom entries, feeds and errors, as Service Bus writes them."""

from collections.abc import Iterable
from xml.etree import ElementTree as ET

ATOM = "http://www.w3.org/2005/Atom"
SERVICE_BUS = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"


class AdministrationError(Exception):
    """A request is refused with a status and a detail for a person."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def element(name: str, content: object = None, *children: ET.Element) -> ET.Element:
    """An element of Service Bus's own, with a text or with children."""
    made = ET.Element(f"{{{SERVICE_BUS}}}{name}")
    if content is not None:
        made.text = str(content).lower() if isinstance(content, bool) else str(content)
    made.extend(children)
    return made


def entry(title: str, description: ET.Element) -> ET.Element:
    """What describes one entity."""
    made = ET.Element(f"{{{ATOM}}}entry")
    ET.SubElement(made, f"{{{ATOM}}}title", {"type": "text"}).text = title
    ET.SubElement(made, f"{{{ATOM}}}content", {"type": "application/xml"}).append(description)
    return made


def feed(entries: Iterable[ET.Element], links: Iterable[tuple[str, str]] = ()) -> ET.Element:
    """What lists entities; links are pairs of relation and address."""
    made = ET.Element(f"{{{ATOM}}}feed")
    for relation, address in links:
        ET.SubElement(made, f"{{{ATOM}}}link", {"rel": relation, "href": address})
    made.extend(entries)
    return made


def error(refused: AdministrationError) -> ET.Element:
    """What says why a request is refused."""
    made = ET.Element("Error")
    ET.SubElement(made, "Code").text = str(refused.status)
    ET.SubElement(made, "Detail").text = refused.detail
    return made


def description_of(body: bytes, name: str) -> ET.Element:
    """Return the description in an entry that was sent.

    Raises:
        AdministrationError: 400, there is none of this name.
    """
    try:
        sent = ET.fromstring(body)  # noqa: S314 - from a test's own client, on loopback
    except ET.ParseError:
        raise AdministrationError(400, "The body is no XML.") from None
    found = sent.find(f"{{{ATOM}}}content/{{{SERVICE_BUS}}}{name}")
    if found is None:
        raise AdministrationError(400, f"The body holds no {name}.")
    return found


def text_of(parent: ET.Element, name: str) -> str | None:
    """Return the text of a child; None where it is left out or empty."""
    child = parent.find(f"{{{SERVICE_BUS}}}{name}")
    return None if child is None else child.text or None
