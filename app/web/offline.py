"""Without a network: the service worker, and the page it shows instead of none."""

from __future__ import annotations

import hashlib
import json

from litestar import Response, get

from app.web.assets import asset, find
from app.web.auth import WebRequest
from app.web.links import root_of, url
from app.web.pages import page

_KEPT = ("all.css", "all.js", "icons.svg", "mark.svg", "css/door.css")


@get("/sw.js", name="worker", opt={"access": "public"}, include_in_schema=False)
async def worker(request: WebRequest) -> Response[str]:
    """The worker's text with the addresses it keeps; a new version of any of them is a new text."""
    root = root_of(request.scope)
    kept = [url(request, "offline"), *(asset(n, root) for n in _KEPT)]
    version = hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:8]
    body = find("sw.js").body.decode()
    for place, value in (("VERSION", version), ("ROOT", root), ("KEPT", kept)):
        body = body.replace(f'"@{place}@"', json.dumps(value))
    headers = {"Cache-Control": "no-cache"}
    return Response(body, media_type="text/javascript", headers=headers)


@get("/offline", name="offline", opt={"access": "public"}, include_in_schema=False)
async def offline(request: WebRequest) -> Response[str]:
    """What is shown while the server cannot be reached; the same for everybody, kept beforehand."""
    return page(request, "offline.html", user=None)


ROUTES = (worker, offline)
