"""/metrics, for programs with a token that may read it and nobody else."""

from litestar import Response, get

from app.ops.service import figures
from app.web import metrics
from app.web.auth import WebRequest


@get("/metrics", name="metrics", opt={"access": "token:metrics:read"}, include_in_schema=False)
async def show(request: WebRequest) -> Response[bytes]:
    """All figures as Prometheus reads them."""
    state = request.app.state
    found = [
        *await figures.metrics(state.worker),
        figures.gauge("live_streams", "Open pages", state.hub.count()),
        figures.gauge("argon2_open", "Passwords being hashed or waiting for it", state.hashing()),
        figures.counter("argon2", "Passwords hashed since the start", state.hashed()),
    ]
    return Response(
        metrics.text(found), media_type=metrics.MEDIA_TYPE, headers={"Cache-Control": "no-store"}
    )
