"""Reading a posted form: the raw words to show again, and the typed values a service wants."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException

from app.core.errors import Invalid
from app.core.i18n import _

Form = dict[str, str | list[str]]
T = TypeVar("T", bound=msgspec.Struct)

_FORMS = ("", RequestEncodingType.URL_ENCODED, RequestEncodingType.MULTI_PART)
# No form of ours has a tenth of it; each field costs time and memory that a stranger may ask for.
MOST_FIELDS = 1000
_PATH = re.compile(r"`\$\.([A-Za-z_][A-Za-z0-9_]*)")
_MISSING = re.compile(r"missing required field `([A-Za-z_][A-Za-z0-9_]*)`")


async def read(request: Request[Any, Any, Any]) -> Form:
    """What was typed, as it came; a name sent twice becomes a list. Files are left out.

    Raises ClientException: 415 for a body that is no form, since taken for an empty one it would
    untick every box; 400 for one that is not UTF-8, since a password would not be the one typed;
    413 for more than `MOST_FIELDS`.
    """
    kind = request.content_type[0]
    if kind not in _FORMS:
        raise ClientException(status_code=415)
    try:
        # Not Litestar's own reading of this kind: it keeps the last thousand bodies, passwords and
        # all, for as long as the process lives.
        if kind == RequestEncodingType.URL_ENCODED:
            return gathered(_pairs(await request.body()))
        return gathered((await request.form()).multi_items())
    except UnicodeDecodeError:
        raise ClientException(status_code=400) from None


def check(posted: Form, kind: type[T], *, keep_space: tuple[str, ...] = ("password",)) -> T:
    """The form as `kind`; raises `Invalid` with one sentence a field.

    Spaces around a value go, except in `keep_space`. An empty field counts as not sent, a list
    field takes one value or many, a field that `kind` does not know is refused.
    """
    hints = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    if unknown := sorted(set(posted) - set(hints)):
        raise Invalid(form=_("This form has a field we do not know: %(name)s", name=unknown[0]))
    values: dict[str, Any] = {}
    for name, sent in posted.items():
        if _is_list(hints[name]):
            values[name] = [sent] if isinstance(sent, str) else sent
            continue
        last = sent if isinstance(sent, str) else sent[-1]
        value = last if name in keep_space else last.strip()
        if value:
            values[name] = _flag(value) if hints[name] is bool else value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(**_explain(str(error))) from None


async def read_form(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """`read` and `check` in one, for forms that are short enough to be typed again."""
    return check(await read(request), kind)


def _pairs(body: bytes) -> list[tuple[str, str]]:
    if body.count(b"&") >= MOST_FIELDS:
        raise ClientException(status_code=413)
    halves = (part.replace(b"+", b" ").partition(b"=") for part in body.split(b"&") if part)
    return [
        (unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode())
        for name, _equals, value in halves
    ]


def gathered(items: Iterable[tuple[str, Any]]) -> Form:
    """The fields by name; a name sent twice becomes a list, what is no text is left out."""
    posted: Form = {}
    for name, value in items:
        if not isinstance(value, str):
            continue
        before = posted.get(name)
        if before is None:
            posted[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            posted[name] = [before, value]
    return posted


def _flag(value: str) -> bool:
    return value.lower() not in ("0", "off", "false", "no")


def _is_list(hint: Any) -> bool:
    return get_origin(hint) in (list, tuple, set) or any(
        get_origin(arg) in (list, tuple) for arg in get_args(hint)
    )


def _explain(message: str) -> dict[str, str]:
    if found := _MISSING.search(message):
        return {found[1]: _("Please fill this in.")}
    found = _PATH.search(message)
    name = found[1] if found else "form"
    if "length >=" in message:
        return {name: _("This is too short.")}
    if "length <=" in message:
        return {name: _("This is too long.")}
    if bound := re.search(r"`(?:int|float)` >= (-?[\d.]+)", message):
        return {name: _("At least %(n)s, please.", n=bound[1])}
    if bound := re.search(r"`(?:int|float)` <= (-?[\d.]+)", message):
        return {name: _("At most %(n)s, please.", n=bound[1])}
    if "`int`" in message:
        return {name: _("A whole number, please.")}
    return {name: _("This value does not fit here.")}
