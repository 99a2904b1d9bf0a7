"""The registry of settings: name, kind, default, range and meaning of each. Values: `settings`."""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import msgspec

DOMAINS = ("tickets", "audiobooks", "projects", "campaigns", "firmware")
UNIX = "unix"  # among the trusted proxies: whoever may open our unix socket
TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the registry. `kind` is str, int, bool, Path or tuple (a list of texts)."""

    name: str
    kind: type
    default: Any
    help: str
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], Any] | None = None
    secret: bool = False
    restart: bool = False

    @property
    def category(self) -> str:
        """The folder the name begins with; `start` for what is read at start."""
        return self.name.rpartition(".")[0] or "start"


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # its message would repeat the value
        good = False
    if text and (not good or parts.query or parts.fragment or parts.username is not None):
        raise ValueError("must be http(s)://host[:port][/path]")
    return text.rstrip("/")


def root_path(text: str) -> str:
    """`text` as a path that begins with `/` and does not end with one; empty for the root."""
    path = text.strip("/")
    if path and not re.fullmatch(r"[A-Za-z0-9._~/-]+", path):
        raise ValueError("must be a path such as /holdfast")
    return f"/{path}" if path else ""


def _networks(items: tuple[str, ...]) -> tuple[str, ...]:
    unix = tuple(item for item in items if item == UNIX)
    try:
        nets = [ipaddress.ip_network(item, strict=False) for item in items if item != UNIX]
    except ValueError:  # its message would repeat the value
        raise ValueError("must be a list of addresses, networks (CIDR) or the word unix") from None
    return unix + tuple(str(net[0]) if net.num_addresses == 1 else str(net) for net in nets)


def _clock_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("must be a time of day such as 03:17")
    return text


def _start(name: str, kind: type, default: Any, help_text: str, **more: Any) -> Setting:
    return Setting(name=name, kind=kind, default=default, help=help_text, restart=True, **more)


def key(name: str, default: Any, help_text: str, **more: Any) -> Setting:
    """A setting that may change while the program runs; its kind is the kind of its default."""
    return Setting(name=name, kind=type(default), default=default, help=help_text, **more)


START = (
    _start("data_dir", Path, Path("data"), "Folder of the database, the key ring and all files"),
    _start("host", str, "localhost", "Address to listen on; localhost is 127.0.0.1 and ::1"),
    _start("port", int, 8040, "Port to listen on; 0 picks a free one", low=0, high=65535),
    _start("uds", Path, None, "Unix socket to listen on instead of host and port"),
    _start("public_url", str, "", "Address people use, for links in mails", check=_url),
    _start("root_path", str, "", "Path below which a proxy shows Holdfast", check=root_path),
    _start(
        "trusted_proxies", tuple, (), "Proxies whose X-Forwarded-* are believed", check=_networks
    ),
    _start(
        "allowed_hosts", tuple, (), "Host names that are answered; empty: the one of public_url"
    ),
    _start("rate_anonymous", int, 60, "Requests a minute from one address; 0: no limit", low=0),
    _start("rate_writes", int, 120, "Changes a minute by one person; 0: no limit", low=0),
    _start("log_format", str, "console", "How log lines look", choices=("console", "json")),
    _start(
        "log_level",
        str,
        "info",
        "Least level that is logged",
        choices=("debug", "info", "warning", "error"),
    ),
    _start("admin_login", str, "", "Login of the first admin, made on an empty database"),
    _start("admin_password_file", Path, None, "File that holds the first admin's password"),
    _start("demo", bool, False, "Stand-ins for all outside services and sample data"),
)

CORE = (
    key("setup.completed", False, "The first admin has gone through the wizard"),
    key("domains.enabled", DOMAINS, "Domains that are switched on", choices=DOMAINS),
    key("accounts.invite_hours", 72, "Life of an invite, hours", low=1, high=720),
    key(
        "accounts.second_factor",
        "optional",
        "Who needs a second factor",
        choices=("optional", "admins", "all"),
    ),
    key(
        "accounts.argon2_preset", "default", "Cost of a password hash", choices=("default", "small")
    ),
    key("accounts.idle_hours", 12, "A session ends after so many idle hours", low=1, high=168),
    key("accounts.absolute_days", 7, "A session ends after so many days", low=1, high=90),
    key(
        "accounts.remember_idle_days",
        14,
        "The same for “stay signed in”, idle days",
        low=1,
        high=90,
    ),
    key(
        "accounts.remember_absolute_days",
        90,
        "The same for “stay signed in”, days",
        low=1,
        high=365,
    ),
    key("backup.at", "03:17", "Time of the daily backup, local", check=_clock_time),
    key("backup.keep_daily", 7, "Daily backups to keep", low=1, high=90),
    key("backup.keep_weekly", 4, "Weekly backups to keep", low=0, high=104),
    key("backup.keep_monthly", 6, "Monthly backups to keep", low=0, high=120),
    key("backup.folder", "", "Folder of the backups; empty: backups/ in the data folder"),
    key(
        "backup.files",
        ("tickets", "covers", "projects"),
        "Files that go into a backup",
        choices=("tickets", "covers", "projects", "audiobooks", "firmware"),
    ),
    key("backup.age_recipients", (), "age keys that backups are encrypted to"),
    key("audit.keep_months", 24, "Months the audit log is kept", low=1, high=240),
    key(
        "outbound.allow",
        (),
        "Private addresses that may be called: purpose and host:port or network",
    ),
    key("litestream.managed", False, "Litestream checkpoints the file"),
    key(
        "notify.digest_per_hour",
        10,
        "Above so many notices an hour they become one",
        low=1,
        high=1000,
    ),
)

_registry: dict[str, Setting] = {setting.name: setting for setting in START + CORE}


def registry() -> Mapping[str, Setting]:
    """Every setting there is, by name."""
    return MappingProxyType(_registry)


def declare(*settings: Setting) -> None:
    """Add a domain's keys. Saying the same twice is fine.

    Saying it differently is a mistake of ours.
    """
    for setting in settings:
        if _registry.setdefault(setting.name, setting) != setting:
            raise ValueError(f"setting {setting.name} is declared twice, differently")


def parse(setting: Setting, raw: Any) -> Any:
    """`raw` (a text, or a value of TOML or a form) in the setting's own type and range.

    Raises ValueError, whose message says what is wrong and never repeats the value.
    """
    value = _typed(setting.kind, raw)
    if (setting.low is not None and value < setting.low) or (
        setting.high is not None and value > setting.high
    ):
        raise ValueError(f"must be between {setting.low} and {setting.high}")
    if setting.choices and not set(value if setting.kind is tuple else (value,)) <= set(
        setting.choices
    ):
        raise ValueError(
            f"must be {'some' if setting.kind is tuple else 'one'} of {', '.join(setting.choices)}"
        )
    return setting.check(value) if setting.check else value


def _typed(kind: type, raw: Any) -> Any:
    if kind is bool:
        return _bool(raw)
    if kind is int:
        if isinstance(raw, bool) or not re.fullmatch(r"\s*-?[0-9]{1,18}\s*", str(raw)):
            raise ValueError("must be a whole number")
        return int(raw)
    if kind is tuple:
        return _list(raw)
    if not isinstance(raw, str | Path) or "\0" in str(raw):
        raise ValueError("must be a text")
    if kind is Path:
        if not str(raw):
            raise ValueError("must be a path")
        return Path(raw).expanduser()
    return str(raw)


def _bool(raw: Any) -> bool:
    word = str(raw).strip().lower()
    if word not in TRUE | FALSE:
        raise ValueError("must be true or false")
    return word in TRUE


def _list(raw: Any) -> tuple[str, ...]:
    """A list of texts: as such from TOML or a form, with commas outside, as JSON in the table."""
    if isinstance(raw, str):
        if raw.lstrip().startswith("["):
            try:
                raw = json.loads(raw)
            except ValueError:
                raise ValueError("must be a list of texts") from None
        else:
            raw = [item.strip() for item in raw.split(",") if item.strip()]
    if not isinstance(raw, list | tuple) or not all(isinstance(item, str) for item in raw):
        raise ValueError("must be a list of texts")
    return tuple(raw)
