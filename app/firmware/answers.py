"""The servers' XML as typed values. Everything in it is doubted: names, sizes, missing fields."""

import re
from datetime import UTC, datetime

import msgspec
from lxml import etree

from app.firmware import versions
from app.firmware.outcomes import Fault, from_status

LARGEST = 64 * 1024**3
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}\.enc[24]")
_PATH = re.compile(r"[A-Za-z0-9._/-]{0,200}")
_GOOD = {"200", "S00"}


class Binary(msgspec.Struct, frozen=True, kw_only=True):
    """One firmware file as offered. `version` is what is served, not what was asked."""

    version: str
    key_version: str
    filename: str
    path: str
    size_bytes: int
    crc32: int | None
    logic_value: str
    enc_version: int
    nature: int
    model_type: str = ""
    os_name: str = ""
    display_name: str = ""
    released_at: str | None = None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a list. `kind`: stable, beta or unreleased."""

    version: str
    kind: str = "stable"
    sequence: int | None = None
    os_name: str = ""
    opened_at: str | None = None
    display_name: str = ""


def parse_fota(body: bytes) -> list[Listed]:
    """The latest version first, then those an update exists from. Fault without any."""
    root = _tree(body)
    latest = root.find(".//version/latest")
    if latest is None:
        raise Fault("unreadable", "version.xml has no latest element")
    newest = _version((latest.text or "").strip())
    if newest is None:
        raise Fault("no_version")
    android = latest.get("o") or ""
    found = [Listed(version=newest, os_name=f"Android {android}" if android else "")]
    # `fwsize` is the size of the delta; smaller steps and smaller deltas are nearer to the newest
    values = sorted(
        root.iterfind(".//version/upgrade/value"),
        key=lambda each: (_int(each.get("rcount")), _int(each.get("fwsize"))),
    )
    for value in values:
        old = _version((value.text or "").strip())
        if old and old not in {each.version for each in found}:
            found.append(Listed(version=old))
    return found


def parse_history(body: bytes) -> list[Listed]:
    """All versions, the highest sequence first. The status is empty on success."""
    root = _tree(body)
    status = (root.findtext(".//Results/Status") or "").strip()
    if status and status not in _GOOD:
        raise from_status(status)
    found: dict[str, Listed] = {}
    for info in root.iterfind(".//FUSBody/Put/*"):
        if isinstance(info.tag, str) and info.tag.startswith("BINARY_INFO"):
            listed = _listed(info)
            if listed and listed.version not in found:  # natures 0 and 1 are both listed
                found[listed.version] = listed
    return sorted(found.values(), key=lambda each: each.sequence or 0, reverse=True)


def parse_inform(body: bytes, protocol: str, asked: tuple[str, str, str]) -> Binary:
    """What can be fetched. `asked`: model, region, version. Fault for a refusal or a bad offer."""
    root = _checked(body)
    data = {
        field.tag: (field.findtext("Data") or "").strip()
        for field in root.find(".//FUSBody").iter()  # type: ignore[union-attr]
        if isinstance(field.tag, str) and field.find("Data") is not None
    }
    filename = data.get("BINARY_NAME", "").replace("\\", "/").rpartition("/")[2]
    if not filename or not data.get("BINARY_BYTE_SIZE"):
        raise Fault("no_file")
    if filename != data["BINARY_NAME"] or not _NAME.fullmatch(filename) or ".." in filename:
        raise Fault("unsafe_name", f"unsafe name {filename[:60]!r}")
    path = data.get("MODEL_PATH", "")
    if not _PATH.fullmatch(path) or ".." in path:
        raise Fault("unsafe_name", f"unsafe path {path[:60]!r}")
    size = _int(data["BINARY_BYTE_SIZE"])
    if size <= 0 or size % 16 or size > LARGEST:
        raise Fault("bad_size", f"{size} bytes")
    first = data.get("BINARY_SW_VERSION") if protocol == "smart" else data.get("LATEST_FW_VERSION")
    spoken = first or data.get("LATEST_FW_VERSION") or data.get("BINARY_SW_VERSION") or asked[2]
    nature = 0 if data.get("BINARY_NATURE") == "0" else 1
    side = "HOME" if nature == 0 or not data.get("LOGIC_VALUE_FACTORY") else "FACTORY"
    old = filename.endswith(".enc2") or data.get(f"LOGIC_OPTION_{side}") == "0"
    crc = data.get("BINARY_CRC", "")
    version = _version(spoken)
    if version is None:
        raise Fault("unreadable", "the served version cannot be read")
    return Binary(
        version=version,
        key_version=spoken,
        filename=filename,
        path=path,
        size_bytes=size,
        crc32=_int(crc) & 0xFFFFFFFF if crc.isdigit() else None,
        logic_value=data.get(f"LOGIC_VALUE_{side}", ""),
        enc_version=2 if old else 4,
        nature=nature,
        model_type=data.get("DEVICE_MODEL_TYPE", "")[:40],
        os_name=(data.get("CURRENT_OS_VERSION") or data.get("LATEST_OS_VERSION") or "")[:60],
        display_name=data.get("DEVICE_MODEL_DISPLAYNAME", "")[:80],
        released_at=_stamp(data.get("LAST_MODIFIED", "")),
    )


def check_answer(body: bytes) -> None:
    """Raise the fault that an answer without content tells of."""
    _checked(body)


def _listed(info: etree._Element) -> Listed | None:
    def field(name: str) -> str:
        return (info.findtext(f"{name}/Data") or info.findtext(name) or "").strip()

    version = _version(field("BINARY_SW_VERSION"))
    if version is None:
        return None
    opened = field("BINARY_OPEN_DATE").replace("/", "-").replace(" ", "T")
    beta = field("BINARY_INDEX") == "90" or field("BINARY_STATUS") == "3"
    stable = field("BINARY_STATUS") == "2" and opened and field("BINARY_EXIST") != "0"
    found = re.search(r"\((.*)\)", field("BINARY_OS_NAME"))
    return Listed(
        version=version,
        kind="beta" if beta else "stable" if stable else "unreleased",
        sequence=_int(field("BINARY_SEQUENCE")),
        os_name=(found[1] if found else field("BINARY_OS_NAME"))[:60],
        opened_at=f"{opened}.000Z" if re.fullmatch(r"[\d-]{10}T[\d:]{8}", opened) else None,
        display_name=field("DEVICE_MODEL_DISPLAYNAME")[:80],
    )


def _checked(body: bytes) -> etree._Element:
    root = _tree(body)
    # The status is text: S00 and F01 are no numbers.
    status = (root.findtext(".//FUSBody/Results/Status") or "").strip()
    if status not in _GOOD:
        raise from_status(status or "none")
    return root


def _tree(body: bytes) -> etree._Element:
    if b"<!DOCTYPE" in body[:2000].upper() or b"<!ENTITY" in body[:2000].upper():
        raise Fault("unreadable", "XML with a document type")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Fault("unreadable", repr(body[:200])) from error
    if root is None or not isinstance(root.tag, str) or root.tag.lower() == "html":
        raise Fault("blocked")
    return root


def _version(text: str) -> str | None:
    try:
        return versions.normalise(text)
    except ValueError:
        return None


def _int(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _stamp(text: str) -> str | None:
    try:
        moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
