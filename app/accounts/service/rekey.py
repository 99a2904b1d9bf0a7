"""New keys for the vault while the house is open, and the way on when the old ones are lost.

A sealed value names the data key it is under, so a run that was cut off finds by itself where it
stood: there is nothing else to remember.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from app.accounts.payloads import Reencrypt
from app.core import audit, keys, sealed, vault
from app.core.logs import log
from app.core.sealed import Place
from app.core.vault import VaultError
from db.engine import DB
from db.failpoints import afailpoint
from jobs.enqueue import enqueue

BATCH = 200


class Progress(Protocol):
    """What a run tells about itself; the queue's context is one."""

    async def progress(
        self, done: float, total: float | None = None, message: str | None = None
    ) -> None: ...


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The vault at a glance: ids, which are no secrets, and how much is under which key."""

    kids: list[str]
    source: str
    active: str
    data_keys: int
    values: int
    behind: int
    unreadable: int


async def get_standing() -> Standing:
    """Counts every sealed value by its key."""
    active = vault.active_key()
    known = vault.data_keys()
    values = behind = unreadable = 0
    for place in await sealed.places():
        for key, count in (await sealed.count(place)).items():
            values += count
            behind += count if key != active else 0
            unreadable += count if key not in known else 0
    return Standing(
        kids=vault.kids(),
        source=vault.ring_source(),
        active=active,
        data_keys=len(known),
        values=values,
        behind=behind,
        unreadable=unreadable,
    )


async def rotate_master(
    data_dir: Path, env: Mapping[str, str], *, actor_id: str | None = None, kind: str = "cli"
) -> str:
    """A new master key, all data keys under it; its id. Safe to kill anywhere, safe to repeat.

    Raises VaultError where the key comes from outside and there is no newer one.
    """
    async with DB.tx():
        kid = await keys.rotate_master(data_dir, env)
        await _note("vault.master_rotated", actor_id, kind, {"kid": kid})
    await afailpoint("vault_after_rewrap")
    await vault.load(data_dir, env)
    return kid


async def rotate_data(*, actor_id: str | None = None, kind: str = "cli", ip: str = "") -> str:
    """A new data key, and a job that seals everything with it; the job's id."""
    async with DB.tx() as tx:
        key = await keys.new_data_key()
        await afailpoint("vault_before_new_data_key")
        job = await enqueue(Reencrypt(), tx=tx, owner=actor_id, on_dup="skip")
        await _note("vault.data_rotated", actor_id, kind, {"data_key": key[:8]}, ip)
    await vault.refresh()
    return job.id


async def reseal_all(ctx: Progress | None = None) -> dict[str, int]:
    """Seal with the active key whatever is under another one; how many were, and how many cannot.

    Rows of one batch are one transaction; whoever writes a row meanwhile wins over us.
    """
    await vault.refresh()
    active, done, stuck = vault.active_key(), 0, 0
    places = await sealed.places()
    for number, place in enumerate(places):
        after: Any = None
        while True:
            async with DB.tx():
                rows = await sealed.behind(place, active, after, BATCH)
                for row in rows:
                    moved = await _reseal(place, row)
                    done, stuck = done + moved, stuck + (not moved)
                await afailpoint("vault_reseal_batch")
            if len(rows) < BATCH:
                break
            after = rows[-1].row_id
        if ctx is not None:
            await ctx.progress(number + 1, len(places))
    await afailpoint("vault_before_retire")
    return {"resealed": done, "unreadable": stuck}


async def forget(data_dir: Path, env: Mapping[str, str]) -> dict[str, int]:
    """For a lost key: every sealed value becomes unset, the vault begins anew.

    What cannot be empty goes with its row. People are asked for their logins again; an app as
    second factor must be set up again. Accounts, sessions, files and the audit log stay.
    """
    gone: dict[str, int] = {}
    async with DB.tx():
        for place in await sealed.places():
            count = await sealed.unset(place)
            if count:
                gone[f"{place.table}.{place.column}"] = count
        await keys.forget_all()
        await afailpoint("vault_forgotten")
        await keys.begin_anew(data_dir, env)
        await audit.begin_anew()
        await _note("vault.forgotten", None, "cli", {"values": sum(gone.values())})
    await vault.load(data_dir, env)
    return gone


async def _reseal(place: Place, row: sealed.Row) -> bool:
    try:
        text = vault.open(place.table, place.column, row.pk, row.text).reveal()
    except VaultError:
        log.warning("vault.unreadable", table=place.table, column=place.column)
        return False
    fresh = vault.seal(place.table, place.column, row.pk, text)
    await sealed.put(place, row, fresh)
    return True


async def _note(
    action: str, actor_id: str | None, kind: str, detail: dict[str, Any], ip: str = ""
) -> None:
    await audit.record(
        action,
        actor_id=actor_id,
        actor_kind=kind,
        ip=ip,
        object_type="vault",
        object_id="",
        detail=detail,
    )
