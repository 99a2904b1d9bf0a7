"""One's own jobs for programs. The rules are those of the pages: it is the same service."""

from typing import Annotated, Literal

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, FromQuery, Parameter

from app.ops.service import acts
from app.ops.service import job as one
from app.ops.service import jobs as service
from app.ops.service.jobs import JobRow
from app.web.auth import Principal, TokenNeeded, WebRequest, client_ip

State = Literal["", "queued", "running", "succeeded", "failed", "cancelled"]
Limit = Annotated[int, Parameter(ge=1, le=200)]
JobId = Annotated[str, Parameter(min_length=1, max_length=64)]
Words = Annotated[str, Parameter(max_length=200)]


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, newest first. `next`: the `before` of the page after it; empty at the end."""

    jobs: list[JobRow]
    next: str


class JobApi(Controller):
    """Jobs of the token's owner."""

    path = "/api/v1/jobs"
    tags = ["jobs"]

    @get("/", name="api_jobs", opt={"access": "token:jobs:read"})
    async def index(
        self,
        request: WebRequest,
        job_state: FromQuery[State] = "",
        q: FromQuery[Words] = "",
        before: FromQuery[Words] = "",
        limit: FromQuery[Limit] = 50,
    ) -> Jobs:
        """List jobs, newest first."""
        rows = await service.list_jobs(
            _viewer(request), mine=True, state=job_state, q=q, before=before, limit=limit + 1
        )
        more = len(rows) > limit
        return Jobs(jobs=rows[:limit], next=rows[limit - 1].id if more else "")

    @get("/{job_id:str}", name="api_job", opt={"access": "token:jobs:read"})
    async def show(self, request: WebRequest, job_id: FromPath[JobId]) -> JobRow:
        """Show one job."""
        return (await one.get_job(_viewer(request), job_id, mine=True)).row

    @post(
        "/{job_id:str}/cancel",
        name="api_job_cancel",
        opt={"access": "token:jobs:write"},
        status_code=200,
    )
    async def cancel(self, request: WebRequest, job_id: FromPath[JobId]) -> JobRow:
        """Cancel a waiting job, ask a running one to stop."""
        viewer = _viewer(request)
        await acts.cancel_job(viewer, job_id, mine=True, ip=client_ip(request))
        return (await one.get_job(viewer, job_id, mine=True)).row

    @post(
        "/{job_id:str}/retry",
        name="api_job_retry",
        opt={"access": "token:jobs:write"},
        status_code=200,
    )
    async def retry(self, request: WebRequest, job_id: FromPath[JobId]) -> JobRow:
        """Queue a failed or cancelled job again."""
        viewer = _viewer(request)
        await acts.retry_job(viewer, job_id, mine=True, ip=client_ip(request))
        return (await one.get_job(viewer, job_id, mine=True)).row


def _viewer(request: WebRequest) -> Principal:
    if request.user is None:
        raise TokenNeeded
    return request.user
