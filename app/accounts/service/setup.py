"""The first admin.

By the token the server writes at its first start, by the command line, or from the environment.
"""

import asyncio
import hmac
import os
import secrets
from pathlib import Path

from app.accounts.service import passwords, sessions, throttle, users
from app.accounts.service.passwords import Hasher
from app.accounts.service.sessions import Caller
from app.accounts.service.signin import SignedIn
from app.core import audit
from app.core.errors import Invalid, NotFound
from app.core.i18n import _
from db.engine import DB
from db.failpoints import afailpoint

TOKEN_FILE = "setup-token"  # noqa: S105 - a name


async def is_open() -> bool:
    """Whether the first admin is still to come."""
    return not await DB.value("SELECT 1 FROM users WHERE is_setup_admin = 1")


async def prepare(data_dir: Path) -> str | None:
    """At each start: the token to print if one was made now.

    The file exists only until the first admin does.
    """
    path = data_dir / TOKEN_FILE
    if not await is_open():
        path.unlink(missing_ok=True)
        return None
    if path.exists() and _read(path):
        path.chmod(0o600)
        return None
    token = secrets.token_urlsafe(16)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


async def first_admin(
    data_dir: Path,
    token: str,
    login: str,
    email: str,
    password: str,
    caller: Caller,
    *,
    hasher: Hasher | None = None,
) -> SignedIn:
    """Make the first admin and sign them in, in one transaction; of two at once one wins.

    Raises NotFound once there is one, Throttled, Invalid.
    """
    if not await is_open():
        raise NotFound
    here = ("code", throttle.network(caller.ip))
    await throttle.refuse_if_blocked(*here)
    expected = _read(data_dir / TOKEN_FILE)
    if not expected or not hmac.compare_digest(
        token.strip().encode(errors="surrogatepass"), expected.encode()
    ):
        await throttle.take(here)
        raise Invalid(
            token=_("This is not the token of this server. It stands on its console and in a file.")
        )
    await afailpoint("setup_after_token_check")

    user = users.tidy(login, email, password)
    await passwords.check_password(password, user.login, user.email or "")
    hasher = hasher or await passwords.current_hasher()
    hashed = await hasher.hash(password)
    async with DB.tx():
        user_id = await _insert(user, hashed, "user", caller.ip)
        session = await sessions.start_session(user_id, caller)
        await afailpoint("setup_before_commit")
    await afailpoint("setup_after_commit")
    (data_dir / TOKEN_FILE).unlink(missing_ok=True)
    return SignedIn(user_id=user_id, token=session)


async def create_admin(
    login: str, password: str, email: str = "", *, hasher: Hasher | None = None
) -> str:
    """An admin made by who runs the server (`holdfast create-admin`).

    The first one becomes the setup admin.

    Returns the id. Raises Invalid, Conflict for a name that is taken.
    """
    user = users.tidy(login, email, password)
    await passwords.check_password(password, user.login, user.email or "")
    hasher = hasher or await passwords.current_hasher()
    hashed = await hasher.hash(password)
    async with DB.tx():
        if await is_open():
            return await _insert(user, hashed, "cli", "")
        user_id = await users.insert_user(user, hashed, role="admin")
        await _note(user_id, "cli", "")
        return user_id


async def admin_from_file(login: str, password_file: Path) -> str | None:
    """`HOLDFAST_ADMIN_LOGIN` and `HOLDFAST_ADMIN_PASSWORD_FILE` at start.

    The first admin's id, None if there is one.

    The last line break of the file is not part of the password. Raises Invalid, OSError,
    UnicodeDecodeError.
    """
    if not await is_open():
        return None
    text = await asyncio.to_thread(password_file.read_text, "utf-8")
    password = text.removesuffix("\n").removesuffix("\r")
    return await create_admin(login, password)


async def _insert(user: users.NewUser, hashed: str, actor_kind: str, ip: str) -> str:
    if not await is_open():
        raise NotFound
    user_id = await users.insert_user(user, hashed, role="admin", is_setup_admin=1)
    await afailpoint("setup_after_user_insert")
    await _note(user_id, actor_kind, ip)
    return user_id


async def _note(user_id: str, actor_kind: str, ip: str) -> None:
    actor = user_id if actor_kind == "user" else None
    await audit.record(
        "user.admin_created",
        actor_id=actor,
        actor_kind=actor_kind,
        ip=ip,
        object_type="user",
        object_id=user_id,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
