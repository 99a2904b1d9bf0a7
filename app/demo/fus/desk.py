"""Control requests of both protocols: nonce, inform, init. Who asks must be who it was given to."""

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.demo.fus import crypt, envelope, faults, inform
from app.demo.fus.scenario import Place
from app.demo.fus.state import Protocol, State, Token
from app.demo.fus.wire import Reply, Request

AGENTS: dict[Protocol, str] = {"smart": "SMART 2.0", "kies": "Kies2.0_FUS"}
PATHS: dict[str, tuple[Protocol, Place]] = {
    "/NF_SmartDownloadGenerateNonce.do": ("smart", "nonce"),
    "/NF_SmartDownloadBinaryInform.do": ("smart", "inform"),
    "/NF_SmartDownloadBinaryInitForMass.do": ("smart", "init"),
    "/NF_DownloadGenerateNonce.do": ("kies", "nonce"),
    "/NF_DownloadBinaryInform.do": ("kies", "inform"),
    "/NF_DownloadBinaryInitForMass.do": ("kies", "init"),
}
COOKIE = "JSESSIONID"
_PAIR = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Asked:
    """A control request that proved who it is from."""

    protocol: Protocol
    token: Token
    fields: dict[str, str]

    def get(self, name: str) -> str:
        """A field, '' when it was not sent."""
        return self.fields.get(name, "")

    def is_checked(self, text: str) -> bool:
        """True when LOGIC_CHECK was made from this text and the nonce."""
        wanted = crypt.logic_check(text, self.token.nonce)
        return bool(wanted) and self.get("LOGIC_CHECK") == wanted


def authorization(request: Request) -> dict[str, str]:
    """The pairs of `Authorization: FUS …`; empty for another scheme."""
    header = request.headers.get("authorization", "")
    return dict(_PAIR.findall(header)) if header.startswith("FUS ") else {}


async def answer(request: Request, state: State) -> Reply:
    """Answer one control request."""
    protocol, place = PATHS[request.path]
    if request.method != "POST":
        return Reply(status=405, type="text/plain")
    if request.headers.get("user-agent") != AGENTS[protocol]:
        return _refused(state, "agent", faults.block_page(403))
    try:
        fields = {} if place == "nonce" else envelope.read_fields(request.body)
    except ValueError:
        return _refused(state, "xml", envelope.message("400"))
    fault = await faults.at(state, place, model_of(fields))
    if fault is not None:
        return fault
    if place == "nonce":
        return _give_nonce(request, state, protocol)
    token = _find_token(request, state, protocol)
    if isinstance(token, str):
        return _refused(state, token, faults.unauthorized())
    asked = Asked(protocol, token, fields)
    return await _do(asked, request.cookie(COOKIE), state, place)


def model_of(fields: dict[str, str]) -> str:
    """The model a request is about, '' when it does not say."""
    name = fields.get("BINARY_MODEL_NAME") or fields.get("DEVICE_MODEL_NAME") or ""
    return name.strip().upper()


async def _do(asked: Asked, session: str, state: State, place: Place) -> Reply:
    work: Callable[[Asked, State], Awaitable[Reply]] = _inform if place == "inform" else _init
    reply = await work(asked, state)
    # after the work: what init opened goes over to the nonce of its own answer
    fresh = state.issue(session, asked.protocol, asked.token.files)
    _put_nonce(reply, fresh, state)
    return reply


def _give_nonce(request: Request, state: State, protocol: Protocol) -> Reply:
    rotation = state.scenarios.take("rotate_keys", "nonce")
    if rotation is not None:
        wanted = rotation.params.generation
        newest = len(crypt.GENERATIONS) - 1
        state.generation = min(newest, state.generation + 1 if wanted is None else wanted)
        state.scenarios.drop("rotate_keys")
    change = state.scenarios.take("smart_key", "nonce")
    if change is not None:
        state.smart_key = change.params.key
    session = request.cookie(COOKIE) or secrets.token_hex(16).upper()
    token = state.issue(session, protocol)
    reply = Reply()
    _put_nonce(reply, token, state)
    reply.headers.append(("set-cookie", f"{COOKIE}={session}; Path=/; HttpOnly"))
    reply.headers.append(("set-cookie", f"{COOKIE}_SVR={secrets.token_hex(4)}; Path=/"))
    return reply


def _put_nonce(reply: Reply, token: Token, state: State) -> None:
    if state.scenarios.take("no_nonce", "nonce"):
        return
    bad = state.scenarios.take("bad_nonce", "nonce")
    reply.headers.append(("NONCE", "no nonce" if bad else token.shown))


def _find_token(request: Request, state: State, protocol: Protocol) -> Token | str:
    """The session's newest nonce, signed; else the word for what is wrong."""
    pairs = authorization(request)
    token = state.sessions.get(request.cookie(COOKIE))
    if token is None:
        return "session"
    if token.protocol != protocol or token.void:
        return "token"
    if pairs.get("nonce", "") not in ("", token.shown, token.nonce):
        return "nonce"
    if not token.is_signed(pairs.get("signature", "")):
        return "signature"
    return token


def _refused(state: State, why: str, reply: Reply) -> Reply:
    state.note("refused", why=why)
    return reply


async def _inform(asked: Asked, state: State) -> Reply:
    names = inform.NAMES[asked.protocol]
    version, csc = asked.get(names.version), asked.get(names.csc)
    if not asked.is_checked(version):
        return _refused(state, "logic_check", envelope.message("400"))
    return await inform.answer(asked.protocol, asked.fields, version, csc, state)


async def _init(asked: Asked, state: State) -> Reply:
    smart = asked.protocol == "smart"
    name = asked.get("BINARY_NAME" if smart else "BINARY_FILE_NAME")
    picked = name[-25:-9] if smart else name.partition(".")[0][-16:]
    if not asked.is_checked(picked):
        return _refused(state, "logic_check", envelope.message("400"))
    recipe = state.recipe_of(name)
    if recipe is None:
        return _refused(state, "file", envelope.message("F01" if smart else "400"))
    if smart and (
        asked.get("DEVICE_MODEL_TYPE") != inform.MODEL_TYPE
        or asked.get("BINARY_SW_VERSION") != recipe.version
        or not asked.get("DEVICE_LOCAL_CODE")
    ):
        return _refused(state, "fields", envelope.message("400"))
    asked.token.files.add(name)
    state.note("init", protocol=asked.protocol, file=name)
    return envelope.message("S00" if smart else "200", put={})
