"""One field of a form, looked at while the form is filled in."""

from collections.abc import Mapping

from litestar import Response

from app.web.auth import WebRequest
from app.web.forms import looked_at
from app.web.pages import page


def said(request: WebRequest, errors: Mapping[str, str]) -> Response[str]:
    """What is wrong with the field that was asked about, or nothing: for its place below it."""
    name = looked_at(request)
    status = 422 if errors.get(name) else 200
    return page(request, "_said.html", status=status, errors=errors, name=name)
