"""The `holdfast` command."""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from app.accounts.cli import doctor_command
from app.core.settings import BadSetting, Settings, load
from app.ops.cli import commands as queue_commands

FAILED, USAGE, AGAIN, CONFIG = 1, 2, 75, 78
CLASHES = ("skip", "rename")

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
    with _demo_folder(demo and not data) as folder:
        given = folder or data
        settings = _settings(data_dir=given, host=host, port=port, uds=uds, demo=demo or None)
        raise typer.Exit(_serve(settings))


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
    password = _password(password_file)

    async def make() -> str:
        from app.accounts.service import setup

        return await setup.create_admin(login, password, email)

    typer.echo(f"admin {login} made: {_with_database(settings, make)}")


imports = typer.Typer(help="Bring over what another program kept.", no_args_is_help=True)
cli.add_typer(imports, name="import")


@imports.command("tickets")
def import_tickets(
    data: Data = None,
    db: Annotated[Path | None, typer.Option(help="The origin's database, app.db.")] = None,
    downloads: Annotated[Path | None, typer.Option(help="Folder of ticket files.")] = None,
    user: Annotated[str, typer.Option(help="Whose files a folder without --db holds.")] = "",
    key_env: Annotated[
        str, typer.Option(help="Environment variable with the origin's key.")
    ] = "ORIGIN_ENCRYPTION_KEY",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come.")] = False,
    on_clash: Annotated[str, typer.Option(help="A login that is taken: skip or rename.")] = "skip",
    with_deleted: Annotated[bool, typer.Option("--with-deleted")] = False,
) -> None:
    """Accounts, logins, tickets and attempts of UK-TicketUpdater; a second run changes nothing."""
    if (db is None) == (not user) or (db is None and downloads is None) or on_clash not in CLASHES:
        _stop("give --db, or --user with --downloads; --on-clash skip or rename", USAGE)
    settings = _settings(data_dir=data)

    async def bring() -> Any:
        from app.core import paths
        from app.tickets.service import importing

        paths.use_data(settings.data_dir)
        if db is None:
            return await importing.import_folder(downloads or Path(), user, dry_run=dry_run)
        return await importing.import_origin(
            db,
            downloads,
            os.environ.get(key_env, ""),
            dry_run=dry_run,
            on_clash="rename" if on_clash == "rename" else "skip",
            with_deleted=with_deleted,
        )

    for line in _with_database(settings, bring).lines():
        typer.echo(line)


@cli.command("reset-password")
def reset_password(
    login: Annotated[str, typer.Option(help="Whose.")],
    data: Data = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File that holds the password; asked for if left out.")
    ] = None,
) -> None:
    """Set somebody's password; all their devices are signed out. The second factor stays."""
    settings = _settings(data_dir=data)
    password = _password(password_file)

    async def change() -> str:
        from app.accounts.service import resets

        return await resets.set_password(login, password)

    _with_database(settings, change)
    typer.echo(f"password of {login} changed; all devices are signed out")


@cli.command("reset-2fa")
def reset_2fa(
    login: Annotated[str, typer.Option(help="Whose.")],
    data: Data = None,
) -> None:
    """Take somebody's second factor away: app, passkeys and recovery codes."""
    settings = _settings(data_dir=data)

    async def change() -> None:
        from app.accounts.service import factors, users
        from app.core.errors import NotFound

        found = await users.find_by_login(login)
        if found is None:
            raise NotFound("there is no active account of that name")
        await factors.remove_all(found.id, actor_id=None, kind="cli")

    _with_database(settings, change)
    typer.echo(f"{login} signs in with the password alone now")


@cli.command()
def invite(
    data: Data = None,
    label: Annotated[str, typer.Option(help="A name or note.")] = "",
    email: Annotated[str, typer.Option(help="Only this address can use the link.")] = "",
    hours: Annotated[str, typer.Option(help="How long it works, 1 to 720.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="Let an admin in.")] = False,
) -> None:
    """Print a link that lets one person in."""
    settings = _settings(data_dir=data)

    async def make() -> str:
        from app.accounts.service import invites

        made = await invites.create_from_console(
            hours=hours, label=label, email=email, role="admin" if admin else "user"
        )
        return made.secret

    typer.echo(f"{settings.public_url}/join/{_with_database(settings, make)}")


@cli.command("rotate-key")
def rotate_key(
    data: Data = None,
    master: Annotated[bool, typer.Option("--master", help="A new master key.")] = False,
    fresh: Annotated[bool, typer.Option("--data-key", help="A new data key, by a job.")] = False,
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Take unused master keys out of the ring.")
    ] = False,
) -> None:
    """Give the vault new keys; safe to stop anywhere, safe to repeat, also beside a server."""
    settings = _settings(data_dir=data)
    if not (master or fresh or forget_old):
        _stop("say --master, --data-key or --forget-old", USAGE)

    async def rotate() -> list[str]:
        from app.accounts.service import rekey
        from app.core import keys

        lines = []
        if master:
            kid = await rekey.rotate_master(settings.data_dir, os.environ)
            lines.append(f"master key is now {kid}; keep a copy of secret.key outside this machine")
        if fresh:
            job = await rekey.rotate_data()
            lines.append(f"new secrets use a new data key; job {job} seals the old ones anew")
        if forget_old:
            gone = await keys.forget_old_masters(settings.data_dir, os.environ)
            lines.append(f"forgotten: {', '.join(gone) or 'none'}")
        return lines

    for line in _with_database(settings, rotate):
        typer.echo(line)


vault_cli = typer.Typer(help="The vault of stored secrets.", no_args_is_help=True)
cli.add_typer(vault_cli, name="vault")


@vault_cli.command("forget")
def vault_forget(
    data: Data = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """After the key was lost: mark every stored secret as unset, so that the rest works again."""
    settings = _settings(data_dir=data)
    if not yes:
        typer.confirm("Every stored login and key will be gone for good. Go on?", abort=True)
    from app.core.lock import AlreadyRunning, Lock

    async def forget() -> dict[str, int]:
        from app.accounts.service import rekey

        return await rekey.forget(settings.data_dir, os.environ)

    try:
        with Lock(settings.data_dir):
            gone = _with_database(settings, forget, vault_open=False)
    except AlreadyRunning as error:
        _stop(str(error), AGAIN)
    for place, count in sorted(gone.items()):
        typer.echo(f"{count} unset: {place}")
    typer.echo("the vault is empty; people are asked for their logins again")


@cli.command()
def version() -> None:
    """Print the version."""
    from app.core import paths

    typer.echo(paths.version())


def _serve(settings: Settings) -> int:
    from app.server import serve as run  # the server's libraries are for this command only

    return run(settings)


@contextlib.contextmanager
def _demo_folder(wanted: bool) -> Iterator[Path | None]:
    """A folder that ends with the demo, so that it never touches what `serve` keeps."""
    if not wanted or os.environ.get("HOLDFAST_DATA_DIR"):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as folder:
        yield Path(folder) / "data"


def _on_data(data: Path | None, work: Callable[[Path], Coroutine[Any, Any, Any]]) -> Any:
    settings = _settings(data_dir=data)
    from app.core import paths

    paths.use_data(settings.data_dir)
    return _with_database(settings, lambda: work(settings.data_dir))


def _register() -> None:
    """Load every domain, and with it its job types."""
    import app.domains  # noqa: F401


cli.add_typer(queue_commands(_on_data, _register), name="queue")


def _settings_of(data: Path | None) -> Settings:
    _register()
    return _settings(data_dir=data)


def _opened(settings: Settings, work: Callable[[], Coroutine[Any, Any, Any]], **how: bool) -> Any:
    return _with_database(settings, work, **how)


cli.command("doctor")(doctor_command(_settings_of, _opened))


def _settings(**given: Any) -> Settings:
    try:
        return load(given, os.environ)
    except BadSetting as error:
        _stop(str(error), CONFIG)


def _password(file: Path | None) -> str:
    """From a file, without its last line break, or typed twice; never from the command line."""
    if file is None:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        return file.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        _stop(f"{file}: cannot be read ({type(error).__name__})", CONFIG)


def _with_database(
    settings: Settings,
    work: Callable[[], Coroutine[Any, Any, Any]],
    *,
    vault_open: bool = True,
) -> Any:
    """Run `work` with the database and the vault open, beside a running server if there is one."""
    from app.core import vault
    from app.core.errors import AppError
    from app.core.ring import VaultError
    from db.engine import DB

    async def run() -> Any:
        await DB.open(settings.db_file, readers=1)
        try:
            if vault_open:
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
    except VaultError as error:
        _stop(str(error), CONFIG)


def _stop(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)  # noqa: T201 - this is the program's own answer
    raise typer.Exit(code)


def main() -> None:
    """Entry point of the installed command."""
    cli()


if __name__ == "__main__":
    main()
