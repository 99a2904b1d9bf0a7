"""The composition root: everything is made here, handed to whom needs it, and closed in turn."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.di import Provide

from app import domains
from app.accounts.service import closing, passwords, sessions, setup, tokens
from app.core import audit, files, i18n, live, logs, paths, settings, vault
from app.core.errors import Invalid
from app.core.lag import LAG
from app.core.lock import Lock
from app.core.settings import BadSetting, Settings
from app.demo.run import running_demo
from app.ops.pages import metrics as metrics_page
from app.ops.service.shell import get_shell
from app.web import assets, auth, errors, health, offline, openapi, pages, sse
from app.web.bearer import BearerMiddleware
from app.web.closed import Closed
from app.web.headers import App as OutsideApp
from app.web.headers import Headers
from app.web.hosts import Hosts
from app.web.line import Line
from app.web.links import Below, House
from app.web.metrics import Meter
from app.web.origin import Origin
from app.web.rates import Notes, Rates
from db import changes, clock, migrate
from db.connection import refuse_sqlite3
from db.engine import DB
from jobs.registry import REGISTRY
from jobs.worker import Worker

BODY_LIMIT = 1024 * 1024


class App:
    """The program as an ASGI application; `litestar` is its inside, for tests and the server."""

    def __init__(self, settings: Settings, litestar: Litestar, outside: Headers) -> None:
        self.settings = settings
        self.litestar = litestar
        self._outside = outside

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with i18n.use(i18n.FALLBACK):  # the language and zone of a request end with it
            await self._outside(scope, receive, send)

    async def drain(self) -> None:
        """End the streams and give running jobs their time; pages are still answered meanwhile."""
        self.litestar.state.hub.close()
        await self.litestar.state.worker.stop()

    def hurry(self) -> None:
        """Give running jobs back now."""
        self.litestar.state.worker.hurry()


def create_app(start: Settings, env: Mapping[str, str] = os.environ) -> App:
    """Put the program together. Raises ValueError for a route that says not who may use it."""
    nouns = {table: noun for domain in domains.ALL for table, noun in domain.live.items()}
    routes = [page for domain in domains.ALL for page in (*domain.pages, *domain.api)]

    @asynccontextmanager
    async def life(app: Litestar) -> AsyncIterator[None]:
        async with _opened(start, env, nouns, app.state):
            yield

    litestar = House(
        route_handlers=[
            *routes,
            *health.ROUTES,
            *offline.ROUTES,
            assets.serve_asset,
            sse.live,
            openapi.openapi,
            metrics_page.show,
        ],
        dependencies={"user_id": Provide(auth.provide_user_id)},
        exception_handlers=errors.EXCEPTION_HANDLERS,
        template_config=pages.template_config(),
        guards=[Rates(start.rate_anonymous, start.rate_writes).guard, auth.guard],
        before_request=pages.speak,
        lifespan=[life],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=BODY_LIMIT,
        state=State(
            {
                "settings": start,
                "root": start.root_path,
                "nav": [item for domain in domains.ALL for item in domain.nav],
                "shell": get_shell,
                "finders": [(domain.title, domain.find) for domain in domains.ALL if domain.find],
                "remedies": {domain.name: domain.remedy for domain in domains.ALL if domain.remedy},
                "subjects": {
                    k: place for each in domains.ALL for k, place in each.subjects.items()
                },
                "areas": [domain.area for domain in domains.ALL if domain.area],
                "hashing": passwords.hashing,
                "hashed": passwords.hashed,
                "demo": start.demo,
                "domains": [domain.name for domain in domains.DOMAINS],
                "reload_principal": auth.reloader(sessions.read_by_id),
                "api": [api for domain in domains.ALL for api in domain.api],
                "api_scopes": [domain.name for domain in domains.DOMAINS if domain.api],
            }
        ),
    )
    auth.require_access_declared(litestar)
    closing.use(
        [domain.on_account_closed for domain in domains.ALL if domain.on_account_closed],
        {domain.name: domain.export_account for domain in domains.ALL if domain.export_account},
    )
    programs = BearerMiddleware(Meter(Line(litestar)), tokens.read_token)
    known = auth.SessionMiddleware(programs, sessions.read_session)
    notes = Notes()

    async def on_refused(scope: Any, reason: str) -> None:
        if await notes.take("refused", auth.client_ip_of(scope)):
            await _note_refusal(scope, reason)

    def telling(tell: Callable[[auth.WebRequest], Response[Any]]) -> OutsideApp:
        async def refuse(scope: Any, receive: Any, send: Any) -> None:
            scope |= {"litestar_app": litestar, "user": None, "state": scope.get("state", {})}
            request: auth.WebRequest = Request(scope, receive, send)
            await pages.speak(request)
            answer = tell(request).to_asgi_response(None, request)
            await answer(scope, receive, send)

        return refuse

    def is_damaged() -> bool:
        worker = litestar.state.get("worker")
        return worker is not None and worker.corrupt

    guarded = Origin(
        known,
        refuse=telling(errors.foreign),
        on_refused=on_refused,
        public_url=start.public_url,
    )
    whole = Closed(guarded, is_damaged, telling(errors.damaged))
    named = Hosts(whole, start.allowed_hosts)
    shown = Below(named, start.root_path)
    return App(start, litestar, Headers(shown, start.trusted_proxies))


@asynccontextmanager
async def _opened(
    start: Settings, env: Mapping[str, str], nouns: Mapping[str, live.Noun], state: State
) -> AsyncIterator[None]:
    """Everything that has a beginning and an end, in order; on the way out in the other one."""
    async with AsyncExitStack() as stack:
        files.private_folder(start.data_dir)
        stack.enter_context(Lock(start.data_dir))
        files.empty_folder(start.data_dir / "tmp")
        for name in ("backups", "files", "workers", "job-logs"):
            files.private_folder(start.data_dir / name)  # older versions left some open
        refuse_sqlite3(start.data_dir)
        migrate.migrate(start.db_file, start.data_dir / "backups")
        await DB.open(start.db_file)
        stack.push_async_callback(DB.close)
        paths.use_data(start.data_dir)
        await vault.load(start.data_dir, env)
        vault.watch(_Faults(stack).tell)
        stack.callback(vault.watch, None)
        settings.use(start)
        if start.demo:
            await stack.enter_async_context(running_demo(start))
        await _first_admin(start)
        LAG.start()
        stack.callback(LAG.stop)
        state.hub = live.Hub(nouns, changes.FEED)
        stack.callback(state.hub.close)
        for domain in domains.ALL:
            if domain.on_start:
                await domain.on_start()
        worker = Worker(DB, REGISTRY, start.data_dir, redact=logs.redact, version=paths.version())
        await worker.start()
        state.worker = worker
        try:
            yield
        except BaseException:
            await worker.stop(0)  # what runs is given back, before the database is closed
            raise
        if not worker.draining:
            await worker.stop()
        for domain in domains.ALL:
            if domain.on_stop:
                await domain.on_stop()


async def _first_admin(start: Settings) -> None:
    """From the environment if it says so, else by a token that stands in a file and in the log."""
    if start.admin_login and start.admin_password_file:
        try:
            await setup.admin_from_file(start.admin_login, start.admin_password_file)
        except UnicodeDecodeError:
            raise BadSetting("admin_password_file: must hold UTF-8 text") from None
        except OSError as error:
            raise BadSetting(f"admin_password_file: {error.strerror}") from None
        except Invalid as error:
            raise BadSetting(f"admin_login, admin_password_file: {error}") from None
    token = await setup.prepare(start.data_dir)
    if token:
        logs.log.warning("setup.open", page="/setup", file=str(start.data_dir / setup.TOKEN_FILE))
        # The one place that shows it: whoever reads this terminal runs the server.
        print(f"\n  First admin: open /setup and enter\n\n      {token}\n", flush=True)  # noqa: T201


class _Faults:
    """Audits values of the vault that do not open, one after the other, at most one a second."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = -1.0
        stack.push_async_callback(self._end)

    def tell(self, table: str, column: str, key: str) -> None:
        """Called by the vault, from the loop or from a thread."""
        logs.log.warning("vault.unopened", table=table, column=column)
        self._loop.call_soon_threadsafe(self._start, f"{table}.{column}", key)

    def _start(self, place: str, key: str) -> None:
        now = clock.monotonic()
        if now - self._last < 1:  # a broken key fails everywhere at once: one line says it
            return
        self._last = now
        task = self._loop.create_task(self._note(place, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note(self, place: str, key: str) -> None:
        await audit.record(
            "vault.unopened",
            actor_id=None,
            actor_kind="system",
            object_type=place,
            object_id=key,
        )

    async def _end(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _note_refusal(scope: Any, reason: str) -> None:
    user = scope.get("user")
    await audit.record(
        "request.refused",
        actor_id=user.id if user else None,
        actor_kind="user",
        ip=auth.client_ip_of(scope),
        detail={"reason": reason, "path": logs.redact(str(scope["path"]))[:200]},
    )
