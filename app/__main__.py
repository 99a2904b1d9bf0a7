"""The `holdfast` command."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from app.core.settings import BadSetting, Settings, load
from app.ops.cli import commands as queue_commands

FAILED, USAGE, AGAIN, CONFIG = 1, 2, 75, 78

cli = typer.Typer(
    name="holdfast",
    help="Holdfast: tickets, audiobooks, projects, campaigns and firmware on one SQLite file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[Path | None, typer.Option("--data", help="Folder of the database and all files.")]


@cli.command()
def serve(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    uds: Annotated[Path | None, typer.Option(help="Unix socket to listen on instead.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Stand-ins for every outside service, sample data.")
    ] = False,
) -> None:
    """Migrate the database, then serve pages and run jobs until stopped."""
    settings = _settings(data_dir=data, host=host, port=port, uds=uds, demo=demo or None)
    from app.server import serve as run  # the server's libraries are for this command only

    raise typer.Exit(run(settings))


@cli.command()
def migrate(
    data: Data = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be done.")] = False,
) -> None:
    """Bring the database file to this version; a copy is taken first."""
    settings = _settings(data_dir=data)
    from app.core.files import private_folder
    from app.core.lock import AlreadyRunning, Lock
    from db import migrate as migrations

    private_folder(settings.data_dir)
    if plan:
        for step in migrations.plan(settings.db_file):
            typer.echo(step.name)
        return
    try:
        with Lock(settings.data_dir):
            applied = migrations.migrate(settings.db_file, settings.data_dir / "backups")
    except (AlreadyRunning, migrations.MigrationError) as error:
        _stop(str(error), AGAIN if isinstance(error, AlreadyRunning) else CONFIG)
    typer.echo(f"applied {', '.join(f'{n:04d}' for n in applied)}" if applied else "up to date")


@cli.command("create-admin")
def create_admin(
    login: Annotated[str, typer.Option(help="Name to sign in with.")],
    data: Data = None,
    email: Annotated[str, typer.Option(help="Address, if any.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="File that holds the password; asked for if left out.")
    ] = None,
) -> None:
    """Make an admin; the way back in for who runs the server."""
    settings = _settings(data_dir=data)
    if password_file:
        password = password_file.read_text("utf-8").removesuffix("\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def make() -> str:
        from app.accounts.service import setup

        return await setup.create_admin(login, password, email)

    typer.echo(f"admin {login} made: {_with_database(settings, make)}")


@cli.command()
def version() -> None:
    """Print the version."""
    from app.core import paths

    typer.echo(paths.version())


def _on_data(data: Path | None, work: Callable[[Path], Coroutine[Any, Any, Any]]) -> Any:
    settings = _settings(data_dir=data)
    from app.core import paths

    paths.use_data(settings.data_dir)
    return _with_database(settings, lambda: work(settings.data_dir))


def _register() -> None:
    """Load every domain, and with it its job types."""
    import app.domains  # noqa: F401


cli.add_typer(queue_commands(_on_data, _register), name="queue")


def _settings(**given: Any) -> Settings:
    try:
        return load(given, os.environ)
    except BadSetting as error:
        _stop(str(error), CONFIG)


def _with_database(settings: Settings, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run `work` with the database and the vault open, beside a running server if there is one."""
    from app.core import vault
    from app.core.errors import AppError
    from db.engine import DB

    async def run() -> Any:
        await DB.open(settings.db_file, readers=1)
        try:
            await vault.load(settings.data_dir, os.environ)
            return await work()
        finally:
            await DB.close()

    if not settings.db_file.exists():
        _stop(f"no database at {settings.db_file}; run `holdfast migrate` first", CONFIG)
    try:
        return asyncio.run(run())
    except AppError as error:
        _stop(str(error), FAILED)


def _stop(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)  # noqa: T201 - this is the program's own answer
    raise typer.Exit(code)


def main() -> None:
    """Entry point of the installed command."""
    cli()


if __name__ == "__main__":
    main()
