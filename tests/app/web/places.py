"""Every page there is, read from the routes: a new page cannot be forgotten.

A page is what answers GET with HTML to somebody who looks: not fragments, files, streams, the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from litestar import Litestar
from litestar.routes import HTTPRoute

# What answers GET and is no page, each with its reason.
NO_PAGE = {
    "shell": "a fragment",
    "notices_new": "a fragment",
    "join_link": "leads on",
    "reset_link": "leads on",
    "ticket_code": "a picture",
    "ticket_file": "a file",
    "ticket_pdf": "a file",
    "ticket_frame": "a frame of its own policy",
    "ticket_look_frame": "a frame of its own policy",
    "firmware_file": "a file",
    "queue_job_output_file": "a file",
    "queue_job_log": "a file",
    "my_job_log": "a file",
    "healthz": "for machines",
    "stream_probe": "for machines",
    "readyz": "for machines",
    "worker": "a script",
    "static": "files",
    "openapi": "for machines",
}
# Pages that only a cookie opens; `town.py` opens them.
BY_COOKIE = {"second": "half-way to the second factor", "reset": "who came by a reset link"}


class Place(NamedTuple):
    """One page: its route's name, where it is, who may look."""

    name: str
    path: str
    access: str

    @property
    def outside(self) -> bool:
        """For people who are not signed in."""
        return self.access in ("public", "anon_only")


def places(app: Litestar, ids: Mapping[str, str]) -> Iterator[Place]:
    """Pages with their addresses. `ids`: a value for each part of a path, by its name.

    KeyError where a path has a part without one: give it a sample in `town.py`.
    """
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            name, access = str(handler.name), str(handler.opt.get("access", ""))
            skipped = name in {*NO_PAGE, *BY_COOKIE} or name.endswith("_csv")
            if "GET" not in handler.http_methods or skipped or access.startswith("token:"):
                continue
            yield Place(name, route.path_format.format(**ids), access)
