"""One's own jobs, in words: the list, one of them, cancel and try again."""

from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery

from app.ops.pages import one
from app.ops.pages.listing import job_list
from app.web.auth import WebRequest


class MyJobPages(Controller):
    """Jobs of the person who looks."""

    path = "/jobs"
    opt = {"access": "user"}

    @get("/", name="my_jobs")
    async def jobs(
        self,
        request: WebRequest,
        q: FromQuery[str] = "",
        before: FromQuery[str] = "",
        top: FromQuery[str] = "",
    ) -> Response[str]:
        return await job_list(request, q, before, top, mine=True)

    @get("/{job_id:str}", name="my_job")
    async def job(
        self,
        request: WebRequest,
        job_id: FromPath[str],
        level: FromQuery[str] = "",
        find: FromQuery[str] = "",
    ) -> Response[str]:
        return await one.show(request, job_id, mine=True, level=level, find=find)

    @get("/{job_id:str}/log", name="my_job_log")
    async def log(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await one.save_log(request, job_id, mine=True)

    @post("/{job_id:str}/cancel", name="my_job_cancel", status_code=303)
    async def cancel(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await one.cancel(request, job_id, mine=True)

    @post("/{job_id:str}/retry", name="my_job_retry", status_code=303)
    async def retry(self, request: WebRequest, job_id: FromPath[str]) -> Response[str]:
        return await one.retry(request, job_id, mine=True)
