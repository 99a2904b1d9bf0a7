"""House rules that a script can check. Each says in its failure what to do about it."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import apsw
import pytest

from db import schema

ROOT = Path(__file__).resolve().parents[1]
CODE = ("app", "jobs", "db", "tests", "bench")
TOOLS = {"core", "web", "demo"}  # folders of app/ that are no domain
PEOPLE = {"accounts", "ops"}  # every house has them: rooms only as needed
ROOMS = ("service", "pages", "jobs", "payloads", "client")


def sources(*tops: str) -> list[Path]:
    return [path for top in tops for path in sorted((ROOT / top).rglob("*.py"))]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def domains() -> list[str]:
    folders = (path for path in (ROOT / "app").iterdir() if path.is_dir())
    return sorted(
        path.name
        for path in folders
        if path.name not in TOOLS and not path.name.startswith("_") and any(path.rglob("*.py"))
    )


def has_room(folder: Path, room: str) -> bool:
    return (folder / f"{room}.py").exists() or (folder / room).is_dir()


def trees(*tops: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sources(*tops):
        yield path, ast.parse(path.read_text(), filename=str(path))


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


@pytest.mark.parametrize("domain", domains())
def test_a_domain_has_the_rooms_that_every_domain_has(domain: str) -> None:
    folder = ROOT / "app" / domain
    rooms = ROOMS[:2] if domain in PEOPLE else ROOMS
    missing = [f"app/{domain}/{room}.py" for room in rooms if not has_room(folder, room)]
    places = [Path("templates") / domain, Path("tests/app") / domain]
    if domain != "ops":  # ops looks at everybody's tables and has none of its own
        places.append(Path("db/tables") / f"{domain}.py")
        if not list((ROOT / "db" / "migrations").glob(f"[0-9]*_{domain}.sql")):
            missing.append(f"db/migrations/NNNN_{domain}.sql")
    missing += [place.as_posix() for place in places if not (ROOT / place).exists()]
    assert not missing


def test_every_domain_stands_in_the_two_import_contracts() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [c for c in settings["contracts"] if c["type"] == "layers" and "containers" in c]
    stack = next(c for c in layers if c["containers"] == ["app"])
    inside = next(c for c in layers if c["containers"] != ["app"])
    siblings = {name.strip("() ") for layer in stack["layers"] for name in layer.split("|")}
    assert set(domains()) <= siblings
    assert {f"app.{domain}" for domain in domains()} == set(inside["containers"])


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "db/migrations").glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_tables_read_the_file_as_the_migrations_make_it(migrated: Path) -> None:
    tables = [table for module in table_modules() for table in module.TABLES]
    assert tables
    connection = apsw.Connection(str(migrated), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        for table in tables:
            meta = table._meta
            columns = "SELECT name FROM pragma_table_info(?)"
            found = [name for (name,) in connection.execute(columns, (meta.tablename,))]
            declared = [column._meta.db_column_name for column in meta.columns]
            assert declared == found, f"{table.__module__}.{table.__name__}"
    finally:
        connection.close()


def table_modules() -> list[ModuleType]:
    names = [path.stem for path in sorted((ROOT / "db" / "tables").glob("[a-z]*.py"))]
    return [importlib.import_module(f"db.tables.{name}") for name in names]


def test_the_schema_picture_and_its_page_are_fresh() -> None:
    picture = schema.snapshot(schema.migrated())
    assert schema.differences(schema.shipped(), picture) == [], "make schema"
    assert (ROOT / "docs" / "db.md").read_text() == schema.docs(picture), "make schema"


def test_no_second_sqlite_library_is_imported_anywhere() -> None:
    found = []
    for path, tree in trees(*CODE):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
                names = [str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)]
            else:
                continue
            if {name.split(".")[0] for name in names} & {"sqlite3", "aiosqlite"}:
                found.append(f"{shown(path)}:{node.lineno}")
    assert not found, "use db.engine or apsw"


@pytest.mark.usefixtures("migrated")
def test_opening_a_database_with_a_second_library_is_refused(tmp_path: Path) -> None:
    # Spelt in two halves so that the rule above stays without exceptions.
    second = importlib.import_module("sqlite" + "3")
    with pytest.raises(RuntimeError, match="two SQLite libraries"):
        second.connect(tmp_path / "holdfast.db")
    assert not list(tmp_path.iterdir())


def test_no_task_is_started_and_forgotten() -> None:
    starts = re.compile(r"^(?:(.*)\.)?(?:create_task|ensure_future)$")
    found = []
    for path, tree in trees(*CODE):
        groups = {
            ast.unparse(node.optional_vars)
            for node in ast.walk(tree)
            if isinstance(node, ast.withitem) and node.optional_vars
            if "TaskGroup" in ast.unparse(node.context_expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                started = starts.match(ast.unparse(node.value.func))
                if started and started[1] not in groups:
                    found.append(f"{shown(path)}:{node.lineno}")
    assert not found, "the event loop keeps only a weak reference: keep the task, or use a group"


def test_a_start_loads_nothing_that_is_large_and_seldom_needed() -> None:
    """Import such a library inside the function that needs it."""
    loaded = "import app.__main__, app.asgi, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"zxcvbn", "apprise", "requests", "playwright"} & set(done.stdout.split()) == set()


def test_names_say_what_is_inside() -> None:
    vague = re.compile(r"^(utils?|helpers?|common|misc|managers?)$")
    found = [
        shown(path)
        for path in sources(*CODE)
        if any(vague.match(part) for part in path.relative_to(ROOT).with_suffix("").parts)
    ]
    assert not found


def test_files_stay_small() -> None:
    limits = [*((path, 400) for path in sources(*CODE))]
    limits += [(path, 400) for path in sorted((ROOT / "static" / "css").glob("*.css"))]
    long = {
        shown(path): lines
        for path, limit in limits
        if (lines := len(path.read_text().splitlines())) > limit
    }
    assert not long, "would two nouns live better in two rooms?"


def payloads() -> dict[str, tuple[Path, str]]:
    """Class name within its domain -> its file and job type, for every payload under app/."""
    found = {}
    for path, tree in trees("app"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            for line in node.body:
                if (
                    isinstance(line, ast.AnnAssign)
                    and ast.unparse(line.target) == "TYPE"
                    and isinstance(line.value, ast.Constant)
                ):
                    domain = path.relative_to(ROOT / "app").parts[0]
                    found[f"{domain}.{node.name}"] = (path, str(line.value.value))
    return found


def handlers() -> list[str]:
    """`domain.Class` of every @handles(Class) in a jobs room."""
    found = []
    for path, tree in trees("app"):
        parts = path.relative_to(ROOT / "app").with_suffix("").parts
        for call, name in calls(tree):
            if name.split(".")[-1] == "handles" and call.args:
                assert parts[1] == "jobs", f"{shown(path)}:{call.lineno}: a handler lives in jobs"
                found.append(f"{parts[0]}.{ast.unparse(call.args[0]).split('.')[-1]}")
    return found


def test_every_payload_has_one_handler_in_its_folder() -> None:
    known = payloads()
    assert sorted(handlers()) == sorted(known)
    for name, (path, kind) in known.items():
        domain = name.split(".", maxsplit=1)[0]
        room = path.relative_to(ROOT / "app").with_suffix("").parts[1]
        assert room == "payloads", f"{shown(path)}: {name} belongs in payloads"
        assert kind.startswith(f"{domain}."), f"{kind}: the first word is the folder"
    types = [kind for _, kind in known.values()]
    assert len(types) == len(set(types))


# These two import the program itself; the other rules read sources and say more when it is broken.


def test_the_one_list_knows_every_domain_that_is_there() -> None:
    from app import domains as house

    assert sorted(domain.name for domain in house.ALL) == domains()


def test_every_route_declares_who_may_use_it(data_dir: Path) -> None:
    from app.asgi import create_app
    from app.core.settings import load
    from app.web.auth import require_access_declared

    require_access_declared(create_app(load({"data_dir": data_dir}, {}), {}).litestar)


def test_lock_files_name_no_index() -> None:
    for path in sorted(ROOT.glob("requirements*.txt")):
        text = path.read_text()
        assert "://" not in text, f"{path.name}: the machine's own pip configuration says where"
        pins = len(re.findall(r"^[\w.\[\]-]+==", text, re.MULTILINE))
        unpinned = [line for line in text.splitlines() if re.match(r"^[A-Za-z]", line)]
        assert pins == len(unpinned)
        assert text.count("--hash=sha256:") >= pins


def test_runtime_and_development_locks_agree() -> None:
    pin = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
    runtime = dict(pin.findall((ROOT / "requirements.txt").read_text()))
    development = dict(pin.findall((ROOT / "requirements-dev.txt").read_text()))
    assert runtime.items() <= development.items(), "make lock"


def test_make_offers_at_most_twelve_targets_and_explains_each() -> None:
    text = (ROOT / "Makefile").read_text()
    public = re.findall(r"^([a-z]+):.*## (.+)$", text, re.MULTILINE)
    assert 0 < len(public) <= 12
    named = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert named
    assert set(named[1].split()) - {"system"} == {name for name, _ in public}


def test_the_feature_list_is_well_formed() -> None:
    pages = tomllib.loads((ROOT / "tests/features.toml").read_text())
    for letter, page in pages.items():
        rows = [row for row in page if row != "title"]
        assert rows == sorted(rows)
        for row in rows:
            assert re.fullmatch(rf"{letter}-\d\d", row)
            assert page[row]["when"] in ("now", "later")
            assert page[row]["title"].strip()
