"""Which part of the stand-in answers which path."""

from app.demo.fus import cloud, control, desk, versions
from app.demo.fus.state import State
from app.demo.fus.wire import Reply, Request


class FusApp:
    """All of Samsung's hosts on one port, told apart by path."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        if control.is_control(request):
            return await control.answer(request, self.state)
        self.state.requests[request.path] += 1
        if request.path in desk.PATHS:
            return await desk.answer(request, self.state)
        if request.path in cloud.PATHS:
            return await cloud.answer(request, self.state)
        if request.path == versions.HISTORY:
            return await versions.history(request, self.state)
        if versions.is_fota(request.path):
            return await versions.fota(request, self.state)
        return Reply(status=404, type="text/plain")
