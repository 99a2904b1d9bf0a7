"""The description of `/api/v1`: made from its handlers, for programs as OpenAPI, for people a list.

Pages are not in it. Each operation says its scope and every answer it may give.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from litestar import Litestar, Response, get
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig

from app.core.paths import version
from app.web.auth import WebRequest, provide_user_id

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {"type": "string"}},
        "request_id": {"type": "string"},
    },
    "additionalProperties": False,
}
# What any operation may answer beside what it promises.
REFUSALS = {
    "400": "not understood",
    "401": "no token, or one that opens nothing",
    "403": "the token may not do that",
    "404": "no such thing, or not yours",
    "405": "not that method",
    "409": "not possible now",
    "413": "too large",
    "422": "something does not fit",
    "429": "too many requests",
    "503": "busy",
}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list for people."""

    method: str
    path: str
    summary: str
    scope: str


@get(
    "/schema/openapi.json",
    name="openapi",
    opt={"access": "token:any"},
    media_type="application/json",
)
async def openapi(request: WebRequest) -> Response[dict[str, Any]]:
    """The whole description."""
    return Response(describe(tuple(request.app.state.api)), media_type="application/json")


def operations(app: Litestar) -> list[Operation]:
    """Everything there is, by path."""
    found = []
    for path, methods in describe(tuple(app.state.api))["paths"].items():
        for method, operation in methods.items():
            scope = operation["x-scope"]
            found.append(
                Operation(
                    method=method.upper(),
                    path=path,
                    summary=operation.get("description") or operation.get("summary", ""),
                    scope=scope,
                )
            )
    return sorted(found, key=lambda one: (one.path, one.method))


@lru_cache(maxsize=2)
def describe(controllers: Sequence[Any]) -> dict[str, Any]:
    """The OpenAPI document of these controllers."""
    inner = Litestar(
        route_handlers=list(controllers),
        openapi_config=OpenAPIConfig(
            title="Holdfast", version=version(), path="/unused", use_handler_docstrings=True
        ),
        dependencies={"user_id": Provide(provide_user_id)},
    )
    document: dict[str, Any] = inner.openapi_schema.to_schema()
    scopes = {
        (route.path_format, method): str(handler.opt["access"]).removeprefix("token:")
        for route in inner.routes
        for handler in getattr(route, "route_handlers", ())
        for method in getattr(handler, "http_methods", ())
        if "access" in handler.opt
    }
    document["paths"] = {
        path: methods for path, methods in document["paths"].items() if path.startswith("/api/v1/")
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, scopes[path, method.upper()])
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    document["security"] = [{"token": []}]
    for schema in components["schemas"].values():
        if schema.get("type") == "object" and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
    return document


def _complete(operation: dict[str, Any], scope: str) -> None:
    operation["x-scope"] = scope
    operation["security"] = [{"token": []}]
    for status, words in REFUSALS.items():
        operation["responses"][status] = {
            "description": words,
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
