"""`holdfast doctor`: how the house stands, in lines that say what to do.

In the terminal's language; for programs and for a helper in English.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from app.core import i18n
from app.core.i18n import _
from app.core.settings import Settings

MARKS = {"ok": "ok  ", "warn": "warn", "bad": "BAD "}


def doctor_command(
    load: Callable[[Path | None], Settings],
    with_database: Callable[..., Any],
) -> Callable[..., None]:
    """The command, given how this program reads its settings and opens its database."""

    def doctor(
        data: Annotated[
            Path | None, typer.Option("--data", help="Folder of the database and all files.")
        ] = None,
        fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
        bundle: Annotated[
            Path | None, typer.Option(help="Also write a zip for whoever helps; no secrets in it.")
        ] = None,
    ) -> None:
        """Look at disk, database, keys, accounts and address; say what is wrong and what to do."""
        from app.accounts.service import checkup
        from app.core.doctor import write_private

        chosen = load(data)
        if not as_json and not bundle:
            i18n.speak(i18n.of_terminal(os.environ))

        async def look() -> tuple[list[Any], bytes]:
            found = [one async for one in checkup.look(chosen, os.environ, mend=fix)]
            return found, await checkup.bundle(found) if bundle else b""

        found, packed = with_database(chosen, look, vault_open=False)
        if bundle:
            write_private(bundle, packed)
        if as_json:
            typer.echo(json.dumps(msgspec.to_builtins(found), ensure_ascii=False))
        else:
            for one in found:
                typer.echo(f"{MARKS[one.state]} {_(one.name)}: {one.text}")
                if one.hint:
                    typer.echo(f"       {one.hint}")
        if any(one.state == "bad" for one in found):
            raise typer.Exit(1)

    return doctor
