"""The XML of the control requests: fields out of what came, answers in the server's own shape."""

from html import escape

from lxml import etree

from app.demo.fus.wire import Reply


def read_fields(body: bytes) -> dict[str, str]:
    """Put's fields by name. The root may be named as it likes; raises ValueError for no XML."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from None
    put = root.find("FUSBody/Put")
    if put is None:
        return {}
    return {
        str(child.tag): (child.findtext("Data") or child.text or "").strip()
        for child in put
        if isinstance(child.tag, str)
    }


def message(
    status: str, results: dict[str, str] | None = None, put: dict[str, str] | None = None
) -> Reply:
    """An answer; without `put` it is a refusal, which has no Put at all."""
    return enveloped(status, _fields(results or {}), None if put is None else _fields(put))


def enveloped(status: str, results: str, put: str | None) -> Reply:
    """The envelope around ready-made XML."""
    inside = "" if put is None else f"<Put><CmdID>1</CmdID>{put}</Put>"
    return Reply(
        (
            '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
            "<FUSMsg><FUSHdr><ProtoVer>1</ProtoVer><SessionID>0</SessionID><MsgID>1</MsgID>"
            f"</FUSHdr><FUSBody><Results><CmdRef>2</CmdRef><Status>{escape(status)}</Status>"
            f"{results}</Results>{inside}</FUSBody></FUSMsg>"
        ).encode()
    )


def field(name: str, value: str) -> str:
    """One field."""
    return f"<{name}><Data>{escape(value)}</Data></{name}>"


def _fields(values: dict[str, str]) -> str:
    return "".join(field(name, value) for name, value in values.items())
