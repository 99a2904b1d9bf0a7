"""The control plane: whoever holds the token orders faults, bakes files, reads log and counts."""

import hmac

import msgspec

from app.demo.fus import catalog
from app.demo.fus.archive import Facts
from app.demo.fus.recipe import recipe_for
from app.demo.fus.scenario import NAMES, Order, Params
from app.demo.fus.state import State
from app.demo.fus.wire import Reply, Request, as_json


class ScenarioOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /__scenario; `ok` ends all orders."""

    name: str
    times: int | None = None
    params: Params = msgspec.field(default_factory=Params)


class FileOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /__file: which file shall be baked now. No version: the newest."""

    model: str
    version: str = ""
    csc: str = ""
    nature: int = 1


def is_control(request: Request) -> bool:
    """True for the paths of the control plane."""
    return request.path.startswith("/__")


async def answer(request: Request, state: State) -> Reply:
    """Do what is asked; 403 without the token, 422 names what is wrong with the order."""
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    token = state.control_token
    if not token or not hmac.compare_digest(given.encode(), token.encode()):
        return as_json({"error": "control token needed"}, 403)
    try:
        match request.method, request.path:
            case "POST", "/__scenario" | "/__faults":
                put(state, msgspec.json.decode(request.body, type=ScenarioOrder))
                return as_json({"ok": True})
            case "POST", "/__file":
                facts = await bake(state, msgspec.json.decode(request.body, type=FileOrder))
                return Reply(msgspec.json.encode(facts), type="application/json")
            case "POST", "/__reset":
                state.reset()
                return as_json({"ok": True})
            case "GET", "/__log":
                return as_json(state.log)
            case "GET", "/__stats":
                return as_json(state.stats())
            case "GET", "/__scenarios":
                return as_json(
                    {name: {"at": at, "does": does} for name, (at, does) in NAMES.items()}
                )
    except (ValueError, msgspec.MsgspecError) as error:
        return as_json({"error": str(error)}, 422)
    return as_json({"error": "no such control"}, 404)


def put(state: State, order: ScenarioOrder) -> None:
    """Put a scenario in force; raises UnknownScenario (a ValueError)."""
    state.scenarios.put(Order(order.name, order.times, order.params))


async def bake(state: State, order: FileOrder) -> Facts:
    """The facts of a good file, baked if it was not; raises ValueError for an unknown build."""
    device = catalog.find_device(order.model)
    if device is None:
        raise ValueError(f"unknown model: {order.model}")
    release = device.find(order.version) if order.version else device.latest
    if release is None:
        raise ValueError(f"unknown version: {order.version}")
    csc = order.csc or device.csc[0]
    return await state.shelf.get(
        recipe_for(device.model, release.version, state.size, csc, order.nature)
    )
