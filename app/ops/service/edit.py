"""A form for what a job is told, made from the payload's own struct, and the payload it makes."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import apsw
import msgspec
from msgspec import inspect

from app.core.errors import Invalid
from app.core.i18n import _
from app.core.live import Viewer
from app.ops.service.job import visible
from db.connection import Row
from db.engine import DB
from jobs.payload import BadPayload, NewerPayload, Payload
from jobs.registry import REGISTRY
from jobs.why import situation

PREFIX = "payload-"  # before each field's name, so that none meets the form's own
Kind = Literal["text", "number", "flag", "choice", "json"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a payload. `value`: as it is typed; empty where the type hides it."""

    name: str
    kind: Kind
    value: str
    options: list[tuple[str, str]] = []
    optional: bool = False
    hidden: bool = False


class EditForm(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of a waiting job; no fields where this version cannot read the payload.

    `open`: it still waits.
    """

    fields: list[Field]
    priority: int
    max_attempts: int
    run_at: int
    open: bool


async def get_form(viewer: Viewer, job_id: str) -> EditForm:
    """The form of a waiting job. Raises NotFound."""
    row = await _row(viewer, job_id)
    payload = _read(row)
    return EditForm(
        fields=[] if payload is None else _fields(payload),
        priority=row["priority"],
        max_attempts=row["maxAttempts"],
        run_at=row["runAt"],
        open=row["state"] == "queued",
    )


async def read_payload(
    viewer: Viewer, job_id: str, typed: Mapping[str, str | list[str]]
) -> Payload | None:
    """The payload that the fields make; None where the form has none. Raises Invalid, NotFound.

    An empty hidden field leaves what is stored.
    """
    stored = _read(await _row(viewer, job_id))
    if stored is None:
        return None
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in _fields(stored):
        sent = typed.get(PREFIX + field.name)
        text = (sent if isinstance(sent, str) else sent[-1]).strip() if sent else ""
        if field.hidden and not text:
            values[field.name] = getattr(stored, field.name)
        elif field.kind == "flag":
            values[field.name] = bool(text)
        elif field.kind == "json" and text:
            try:
                values[field.name] = json.loads(text)
            except ValueError:
                errors[PREFIX + field.name] = _("This is not JSON.")
        elif text or not field.optional:
            values[field.name] = text
        elif field.optional:
            values[field.name] = None
    if not errors:
        try:
            return msgspec.convert(values, type(stored), strict=False)
        except msgspec.ValidationError as error:
            errors = _explained(str(error))
    raise Invalid(**errors)


def _explained(message: str) -> dict[str, str]:
    """One sentence at the field that msgspec names at the end: "… - at `$.revision`"."""
    said, _at, place = message.partition(" - at `$")
    name = place.strip("`.").partition(".")[0].partition("[")[0]
    whole = "Expected `int`" in said
    text = _("A whole number, please.") if whole else _("This value does not fit here.")
    return {PREFIX + name if name else "form": text}


def _read(row: Row) -> Payload | None:
    handler = REGISTRY.handlers.get(row["type"])
    if handler is None:
        return None
    try:
        return handler.payload.decode(row["payloadJson"])
    except (BadPayload, NewerPayload):
        return None


def _fields(payload: Payload) -> list[Field]:
    return [_field(payload, each) for each in msgspec.structs.fields(payload)]


def _field(payload: Payload, field: msgspec.structs.FieldInfo) -> Field:
    hidden = field.name in type(payload).HIDDEN
    info = inspect.type_info(field.type)
    kinds = list(info.types) if isinstance(info, inspect.UnionType) else [info]
    given = [each for each in kinds if not isinstance(each, inspect.NoneType)]
    kind, options = _kind(given[0]) if len(given) == 1 else ("json", [])
    value = msgspec.to_builtins(getattr(payload, field.name))
    if kind == "json":
        text = json.dumps(value, ensure_ascii=False, indent=2)
    elif kind == "flag":
        text = "1" if value else ""
    else:
        text = "" if value is None else str(value)
    return Field(
        name=field.name,
        kind=kind,
        value="" if hidden else text,
        options=[("", ""), *options] if options and len(given) < len(kinds) else options,
        optional=len(given) < len(kinds),
        hidden=hidden,
    )


def _kind(info: inspect.Type) -> tuple[Kind, list[tuple[str, str]]]:
    match info:
        case inspect.BoolType():
            return "flag", []
        case inspect.IntType() | inspect.FloatType():
            return "number", []
        case inspect.LiteralType():
            return "choice", [(str(each), str(each)) for each in info.values]
        case inspect.EnumType():
            return "choice", [(str(each.value), str(each.value)) for each in info.cls]
        case inspect.StrType() | inspect.DateTimeType() | inspect.DateType():
            return "text", []
    return "json", []


async def _row(viewer: Viewer, job_id: str) -> Row:
    def read(connection: apsw.Connection) -> Row:
        return visible(connection, viewer, job_id, mine=False, now=situation(connection))

    return await DB.read(read)
