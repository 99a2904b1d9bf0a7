"""`holdfast queue …`: the queue from a terminal, beside the running server or without one."""

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

Work = Callable[[Path], Coroutine[Any, Any, Any]]
Open = Callable[[Path | None, Work], Any]

Data = Annotated[Path | None, typer.Option("--data", help="Folder of the database and all files.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[str, typer.Argument(help="The job's id.")]


def commands(opened: Open, register: Callable[[], Any]) -> typer.Typer:  # noqa: PLR0915
    """The commands; `opened` runs work with the database open, `register` loads every domain."""
    cli = typer.Typer(help="Look at the queue and steer it.", no_args_is_help=True)

    @cli.command("list")
    def list_(
        state: Annotated[str, typer.Option(help="queued, running, succeeded, …")] = "",
        q: Annotated[str, typer.Option(help="Words, type:…, batch:…, error:…")] = "",
        limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
        data: Data = None,
        as_json: Json = False,
    ) -> None:
        """Jobs, newest first."""
        from app.ops.service import jobs

        async def work(_folder: Path) -> Any:
            return await jobs.list_jobs(_Terminal(), mine=False, state=state, q=q, limit=limit)

        rows = msgspec.to_builtins(opened(data, work))
        if as_json:
            _print_json(rows)
            return
        for row in rows:
            tries = f"{row['attempts']}/{row['max_attempts']}"
            typer.echo(f"{row['id']}  {row['state']:<10} {tries:>5}  {row['type']}  {row['label']}")

    @cli.command()
    def show(job_id: JobId, data: Data = None, as_json: Json = False) -> None:
        """One job: what is known about it, its log, and why it does not run."""
        from app.ops.service import job

        async def work(_folder: Path) -> Any:
            return await job.get_job(_Terminal(), job_id, mine=False)

        card = msgspec.to_builtins(opened(data, work))
        if as_json:
            _print_json(card)
            return
        for name, value in {**card.pop("row"), **card}.items():
            if value not in ("", None, [], {}):
                typer.echo(f"{name:<14} {value}")

    def act(
        name: str, action: str, words: str, call: Callable[[str], Coroutine[Any, Any, Any]]
    ) -> None:
        def command(job_id: JobId, data: Data = None, as_json: Json = False) -> None:
            async def work(folder: Path) -> bool:
                from jobs import bell

                changed = await _audited(action, job_id, lambda: call(job_id))
                bell.ring(folder)
                return changed

            changed = opened(data, work)
            if as_json:
                _print_json({"id": job_id, "changed": changed})
            else:
                typer.echo(words if changed else f"{job_id}: nothing to do")
            if not changed:
                raise typer.Exit(1)

        command.__doc__ = words
        cli.command(name)(command)

    act("retry", "job.retried", "Queued again.", _retry)
    act("cancel", "job.cancelled", "Cancelled, or asked to stop.", _cancel)
    act("run", "job.run_now", "Starts as soon as a slot is free.", _run_now)

    def turn(name: str, words: str, paused: bool) -> None:
        def command(data: Data = None) -> None:
            async def work(folder: Path) -> None:
                from app.ops.service import queue
                from jobs import bell

                steer = queue.pause_queue if paused else queue.resume_queue
                await steer(_Terminal())
                bell.ring(folder)

            opened(data, work)
            typer.echo(words)

        command.__doc__ = words
        cli.command(name)(command)

    turn("pause", "No job starts any more; running ones go on.", True)
    turn("resume", "Jobs start again.", False)

    @cli.command()
    def stats(data: Data = None, as_json: Json = False) -> None:
        """How many jobs are in each state, and who works."""
        from app.ops.service import queue, workers

        async def work(_folder: Path) -> Any:
            return await queue.get_overview(), await workers.list_workers()

        overview, living = opened(data, work)
        told = {**msgspec.to_builtins(overview), "workers": living}
        if as_json:
            _print_json(told)
            return
        for name, value in {**told.pop("counts"), **told}.items():
            typer.echo(f"{name:<16} {value}")

    @cli.command()
    def check(as_json: Json = False) -> None:
        """Types, schedules, ticks and rates of this version; exits 1 where something is wrong."""
        from jobs.payload import Payload
        from jobs.registry import REGISTRY

        register()
        known = [each for each in _all(Payload) if each.__module__.startswith("app.")]
        wrong = REGISTRY.check(known)
        told: dict[str, Any] = {
            "types": {
                name: {"lane": handler.lane, "limit": handler.limit, "rate": handler.rate_key}
                for name, handler in sorted(REGISTRY.handlers.items())
            },
            "schedules": {
                name: each.cron or f"every {each.every_s:g} s"
                for name, each in sorted(REGISTRY.schedules.items())
            },
            "ticks": {name: each.every_s for name, each in sorted(REGISTRY.ticks.items())},
            "rates": {
                key: f"{rate.limit} in {rate.per_s:g} s, {rate.burst} at once"
                for key, rate in sorted(REGISTRY.rates.items())
            },
            "wrong": wrong,
        }
        if as_json:
            _print_json(told)
        else:
            for part, found in told.items():
                typer.echo(f"{part}: {', '.join(found) or '-'}")
        raise typer.Exit(1 if wrong else 0)

    @cli.command()
    def drain(data: Data = None) -> None:
        """Run what is due here and now until nothing is; only while no server runs."""
        from app.core.errors import Conflict
        from app.core.lock import AlreadyRunning, Lock
        from jobs import testing

        register()

        async def work(folder: Path) -> Any:
            try:
                with Lock(folder):
                    return await testing.drain(raise_errors=False, limit=100_000)
            except AlreadyRunning as error:
                raise Conflict(str(error)) from error

        for state, count in sorted(opened(data, work).items()):
            typer.echo(f"{state:<10} {count}")

    return cli


class _Terminal:
    """Who sits at the terminal may read the file itself: an admin without an account."""

    id, role, domains, session_id = "", "admin", (), ""


async def _retry(job_id: str) -> bool:
    from jobs import enqueue as queue

    return await queue.retry(job_id)


async def _cancel(job_id: str) -> bool:
    from jobs import enqueue as queue

    return await queue.cancel(id=job_id) > 0


async def _run_now(job_id: str) -> bool:
    from jobs import enqueue as queue

    return await queue.run_now(job_id)


async def _audited(action: str, job_id: str, call: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    from app.core import audit
    from app.core.errors import Conflict
    from db.engine import DB
    from jobs.enqueue import Duplicate

    try:
        async with DB.tx():
            changed = await call()
            if changed:
                await audit.record(
                    action, actor_id=None, actor_kind="cli", object_type="job", object_id=job_id
                )
            return changed
    except Duplicate as twin:
        raise Conflict(str(twin)) from twin


def _all(base: type[Any]) -> list[type[Any]]:
    found = [each for each in base.__subclasses__() if hasattr(each, "TYPE")]
    return found + [each for one in base.__subclasses__() for each in _all(one)]


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1, default=str))
