"""BinaryInform: which file serves this model, region and version, and everything about it."""

from typing import NamedTuple

import msgspec

from app.demo.fus import catalog, envelope
from app.demo.fus.archive import Facts, member_names
from app.demo.fus.catalog import ANNOUNCED, EXTRAS, Device, Release, luhn_ok
from app.demo.fus.recipe import Recipe, recipe_for
from app.demo.fus.scenario import Order
from app.demo.fus.state import Protocol, State
from app.demo.fus.wire import Reply

MODEL_TYPE = "9"
MODEL_PATH = "/neofus/910/"
EVIL_NAME = "../../../tmp/evil.zip.enc4"
ODD_SIZE = 65 * 1024**3
FILE_FIELDS = {
    "BL": "DEVICE_BOOT_FILE",
    "AP": "DEVICE_PDA_CODE1_FILE",
    "CP": "DEVICE_PHONE_FONT_FILE",
    "CSC": "DEVICE_CSC_FILE",
    "HOME_CSC": "DEVICE_CSC_HOME_FILE",
}


class Names(NamedTuple):
    """What the protocol calls the things every inform says, and its ACCESS_MODE."""

    version: str
    csc: str
    model: str
    access_mode: str


NAMES: dict[Protocol, Names] = {
    "smart": Names("BINARY_SW_VERSION", "BINARY_LOCAL_CODE", "BINARY_MODEL_NAME", "1"),
    "kies": Names("DEVICE_FW_VERSION", "DEVICE_LOCAL_CODE", "DEVICE_MODEL_NAME", "2"),
}


async def answer(
    protocol: Protocol, fields: dict[str, str], version: str, csc: str, state: State
) -> Reply:
    """The facts, or the status that says why not."""
    device = catalog.find_device(fields.get(NAMES[protocol].model, ""))
    status = _refusal(protocol, fields, device, csc)
    release = device.find(version) if device else None
    if not status and (release is None or release.status == ANNOUNCED):
        status = "F01" if protocol == "smart" and release is None else "400"
    if status or device is None or release is None:
        state.note("refused", why=f"inform {status}")
        return envelope.message(status)
    nature = 0 if fields.get("BINARY_NATURE") == "0" else 1
    release = _served(device, release, state)
    recipe = _recipe(recipe_for(device.model, release.version, state.size, csc, nature), state)
    facts = await state.facts(recipe)
    state.note("inform", protocol=protocol, model=device.model, csc=csc, file=facts.filename)
    put = _fields(device, release, facts, csc)
    _bend(put, device.model, state)
    return envelope.message("200", {"LATEST_FW_VERSION": release.version}, put)


def _refusal(protocol: Protocol, fields: dict[str, str], device: Device | None, csc: str) -> str:
    """The status for what is wrong with the request itself, '' for nothing."""
    if fields.get("ACCESS_MODE") != NAMES[protocol].access_mode:
        return "400"
    if device is None or csc not in device.csc:
        return "400"
    if csc in EXTRAS:
        given = [fields.get(name, "") for name in ("DEVICE_CC_CODE", "MCC_NUM", "MNC_NUM")]
        if given != list(EXTRAS[csc]):
            return "400"
    if protocol == "smart":
        return ""
    if csc in EXTRAS and fields.get("DEVICE_AID_CODE") != csc:
        return "400"
    if device.kind == "watch":
        return "400"
    if not (fields.get("CLIENT_PRODUCT") and fields.get("CLIENT_VERSION")):
        return "400"
    return "" if _is_owner(device, fields.get("DEVICE_IMEI_PUSH", "")) else "408"


def _is_owner(device: Device, number: str) -> bool:
    return number in device.serials or (luhn_ok(number) and number in device.imeis)


def _served(device: Device, asked: Release, state: State) -> Release:
    """The build asked for, unless another one is to be slipped in."""
    order = state.scenarios.take("served_version", "inform", device.model)
    if order is None:
        return asked
    named = device.find(order.params.version) if order.params.version else None
    return named or device.releases[device.releases.index(asked) - 1]


def _recipe(recipe: Recipe, state: State) -> Recipe:
    """The file to bake, with what is ordered to be wrong with it."""
    order: Order | None = state.scenarios.take("archive", "inform", recipe.model)
    if order is not None:
        recipe = msgspec.structs.replace(
            recipe, kind=order.params.kind, part=order.params.part, name=order.params.name
        )
    if state.scenarios.look("no_factory", "inform", recipe.model):
        recipe = msgspec.structs.replace(recipe, logic="home")
    return recipe


def _fields(device: Device, release: Release, facts: Facts, csc: str) -> dict[str, str]:
    recipe = facts.recipe
    option = "1" if device.enc == 4 else "0"
    names = member_names(recipe)
    day = "".join(char for char in release.opened if char.isdigit())
    return {
        "BINARY_NAME": facts.filename,
        "MODEL_PATH": MODEL_PATH,
        "BINARY_BYTE_SIZE": str(facts.size),
        "BINARY_CRC": str(facts.crc32),
        "LOGIC_VALUE_FACTORY": recipe.logic_value("factory"),
        "LOGIC_VALUE_HOME": recipe.logic_value("home"),
        "LOGIC_OPTION_FACTORY": option,
        "LOGIC_OPTION_HOME": option,
        "BINARY_NATURE": str(recipe.nature),
        "BINARY_SW_VERSION": release.version,
        "BINARY_LOCAL_CODE": csc,
        "DEVICE_LOCAL_CODE": csc,
        "DEVICE_MODEL_NAME": device.model,
        "DEVICE_MODEL_DISPLAYNAME": device.name,
        "DEVICE_MODEL_TYPE": MODEL_TYPE,
        "DEVICE_PLATFORM": "Android",
        "CURRENT_OS_VERSION": release.os_name,
        "LATEST_OS_VERSION": release.os_name,
        "LAST_MODIFIED": day,
        "DESCRIPTION": f"http://doc.samsungmobile.com/{device.model}/{csc}/doc.html",
        "DEVICE_USER_DATA_FILE": "",
        **{field: names.get(part, "") for part, field in FILE_FIELDS.items()},
    }


def _bend(put: dict[str, str], model: str, state: State) -> None:
    """Lies told about a file that is itself as baked."""
    take = state.scenarios.take
    if take("empty_binary", "inform", model):
        put["BINARY_NAME"] = put["BINARY_BYTE_SIZE"] = ""
    order = take("binary_name", "inform", model)
    if order is not None:
        put["BINARY_NAME"] = order.params.name or EVIL_NAME
    order = take("binary_size", "inform", model)
    if order is not None:
        size = ODD_SIZE if order.params.size is None else order.params.size
        put["BINARY_BYTE_SIZE"] = str(size)
    if take("wrong_crc", "inform", model):
        put["BINARY_CRC"] = str(int(put["BINARY_CRC"]) ^ 1)
    if take("no_crc", "inform", model):
        put["BINARY_CRC"] = ""
    if take("no_factory", "inform", model):
        put["LOGIC_VALUE_FACTORY"] = ""
    if take("short_logic", "inform", model):
        put["LOGIC_VALUE_FACTORY"] = put["LOGIC_VALUE_HOME"] = "short"
