"""The control plane: whoever holds the token sets scenarios and the clock, and reads the log."""

import hmac
from datetime import datetime
from typing import Any

import msgspec

from app.demo.portal.http import Reply, Request, as_json
from app.demo.portal.people import find_person
from app.demo.portal.scenario import Scenario, UnknownScenario
from app.demo.portal.state import State


class ScenarioOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /__scenario."""

    name: str
    user: str | None = None
    times: int | None = None
    params: dict[str, Any] = {}


class ClockOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /__clock; null brings the real time back."""

    now: datetime | None = None


def is_control(request: Request) -> bool:
    """True for the paths of the control plane."""
    return request.path.startswith("/__")


def is_allowed(request: Request, token: str) -> bool:
    """True with `Authorization: Bearer <token>`; an empty token opens nothing."""
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())


def answer(request: Request, state: State) -> Reply:
    """Do what is asked; 422 names what is wrong with the order. The caller handles `/__reset`."""
    try:
        match request.method, request.path:
            case "POST", "/__scenario":
                set_scenario(state, msgspec.json.decode(request.body, type=ScenarioOrder))
                return as_json({"ok": True})
            case "POST", "/__clock":
                set_clock(state, msgspec.json.decode(request.body, type=ClockOrder).now)
                return as_json({"now": state.now().isoformat()})
            case "GET", "/__log":
                return as_json(state.log)
            case "GET", "/__stats":
                return as_json(state.stats())
    except (ValueError, msgspec.MsgspecError) as error:
        return as_json({"error": str(error)}, 422)
    return as_json({"error": "no such control"}, 404)


def set_scenario(state: State, order: ScenarioOrder) -> None:
    """Put a scenario in force; raises UnknownScenario (a ValueError)."""
    if order.times is not None and order.times < 1:
        raise UnknownScenario("times must be at least 1")
    user = None
    if order.user is not None:
        person = find_person(order.user)
        if person is None:
            raise UnknownScenario(f"unknown user: {order.user}")
        user = person.login
    state.scenarios.put(Scenario(order.name, user, order.times, dict(order.params)))


def set_clock(state: State, now: datetime | None) -> None:
    """Move the portal's clock; a time without zone is refused with ValueError."""
    if now is not None and now.tzinfo is None:
        raise ValueError("now needs a time zone")
    state.set_clock(now)
