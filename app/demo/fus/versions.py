"""What is published without a file: version.xml of the FOTA host, and the smart history."""

from html import escape
from urllib.parse import unquote

from app.demo.fus import catalog, crypt, desk, envelope, faults
from app.demo.fus.catalog import OPEN, Device, Release
from app.demo.fus.state import State
from app.demo.fus.wire import Reply, Request

HISTORY = "/SmartHistory.do"
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
    b"<Message>Access Denied</Message><RequestId>0000000000000000</RequestId></Error>"
)


def is_fota(path: str) -> bool:
    """True for /firmware/<csc>/<model>/version.xml."""
    parts = path.split("/")
    return len(parts) == 5 and parts[1] == "firmware" and parts[4] == "version.xml"


async def fota(request: Request, state: State) -> Reply:
    """The newest build and the builds an update exists from; no authorisation, but an agent."""
    _, _, csc, model, _ = (unquote(part) for part in request.path.split("/"))
    fault = await faults.at(state, "fota", model)
    if fault is not None:
        return fault
    take = state.scenarios.take
    device = catalog.DEVICES.get(model)  # exact: the storage behind it knows no lower case
    denied = take("fota_denied", "fota", model) is not None or device is None
    if denied or device is None or not request.headers.get("user-agent"):
        return _denied(state)
    if csc in device.empty or (csc in device.csc and take("empty_latest", "fota", model)):
        return Reply(_version_xml(device, csc, None).encode())
    if csc not in device.csc or csc in device.hidden:
        return _denied(state)
    state.note("fota", model=model, csc=csc)
    return Reply(_version_xml(device, csc, device.latest).encode())


async def history(request: Request, state: State) -> Reply:
    """All builds of a model, both natures of each; Status stays empty when all is well."""
    if request.method != "POST":
        return Reply(status=405, type="text/plain")
    if request.headers.get("user-agent") != desk.AGENTS["smart"]:
        state.note("refused", why="agent")
        return faults.block_page(403)
    try:
        fields = envelope.read_fields(request.body)
    except ValueError:
        return envelope.message("400")
    model = desk.model_of(fields)
    fault = await faults.at(state, "history", model)
    if fault is not None:
        return fault
    if state.scenarios.look("strict_history", "history") and not _is_signed(request, model):
        state.note("refused", why="history signature")
        return faults.unauthorized()
    device = catalog.find_device(model)
    known = device is not None and fields.get("BINARY_LOCAL_CODE") in device.csc
    if device is None or not known or state.scenarios.take("empty_history", "history", model):
        return envelope.message("", put={})
    state.note("history", model=model, csc=fields["BINARY_LOCAL_CODE"])
    entries = [_entry(device, r, nature) for r in device.releases for nature in ("0", "1")]
    return envelope.enveloped("", "", "".join(entries))


def _denied(state: State) -> Reply:
    state.note("refused", why="fota")
    return Reply(DENIED, 403, "application/xml")


def _is_signed(request: Request, model: str) -> bool:
    pairs = desk.authorization(request)
    wanted = crypt.history_signature(pairs.get("nonce", ""), model)
    fixed = {"nc": "00000001", "type": "auth", "realm": "interface"}
    return (
        len(pairs.get("nonce", "")) == 16
        and pairs.get("signature") == wanted
        and all(pairs.get(name) == value for name, value in fixed.items())
    )


def _version_xml(device: Device, csc: str, latest: Release | None) -> str:
    """Three-part codes, single quotes and stray spaces, as the real ones have."""
    older = [r for r in device.releases if r.status == OPEN and r is not latest]
    values = "".join(
        f"<value rcount='{n}' fwsize='{9_000_000 + 70_000_000 * n}'>{_three(release)} </value>"
        for n, release in sorted(enumerate(reversed(older), 1), key=lambda pair: pair[0] % 2)
    )
    newest = "<latest/>"
    if latest is not None:
        newest = f"<latest o='{escape(latest.android)}'> {_three(latest)}</latest>"
    return f"""<?xml version='1.0' encoding='UTF-8'?>
<versioninfo>
  <url>https://fota-secure-dn.ospserver.net/firmware/</url>
  <firmware>
    <model>{device.model}</model>
    <cc>{csc}</cc>
    <version>
      {newest}
      <upgrade>{values if latest else ""}</upgrade>
    </version>
  </firmware>
  <polling><period>7</period><time>15</time><range>24</range></polling>
  <heartbeat>7</heartbeat>
  <serviceURL>https://fota-apis.samsungdm.com/auth/time</serviceURL>
</versioninfo>
"""


def _three(release: Release) -> str:
    return f"{release.pda}/{release.csc}/{release.phone}"


def _entry(device: Device, release: Release, nature: str) -> str:
    values = {
        "BINARY_INDEX": release.index,
        "BINARY_SEQUENCE": str(release.sequence),
        "BINARY_SW_VERSION": f"{_three(release)}/{release.pda}",
        "BINARY_NATURE": nature,
        "BINARY_STATUS": release.status,
        "BINARY_EXIST": "1" if release.status == OPEN else "0",
        "BINARY_OS_NAME": release.os_name,
        "BINARY_OPEN_DATE": release.opened,
        "BINARY_CATEGORY": "1",
        "DEVICE_MODEL_DISPLAYNAME": device.name,
    }
    inside = "".join(envelope.field(name, value) for name, value in values.items())
    return f"<BINARY_INFO>{inside}</BINARY_INFO>"
