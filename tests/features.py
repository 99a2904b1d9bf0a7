"""Pytest plugin: ties tests to rows of features.toml and writes docs/features.md after a full run.

`@pytest.mark.feature("T-12")` says: this test shows that row's promise. An id that is not in the
list stops the collection. A narrowed run (paths, -k, -m, a stop on failure) leaves the page alone.
"""

import tomllib
from collections import defaultdict
from typing import Any

import pytest

HEAD = """# What works today

Written by a full test run (`make test`); do not edit. A row counts as shown when every test that
names it passed in that run. "later" rows are designed for, not promised for the first release.
"""

CARRIED = "features"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two paths are settings so that this plugin can be tried on a small project."""
    parser.addini("features_list", "rows a test may name", default="tests/features.toml")
    parser.addini("features_page", "written after a full run", default="docs/features.md")


def pytest_configure(config: pytest.Config) -> None:
    """Load the list once; without a list there is nothing to hold tests to."""
    config.addinivalue_line("markers", "feature(*ids): the rows of features.toml this test shows")
    listed = config.rootpath / config.getini("features_list")
    config.pluginmanager.register(Ledger(config, tomllib.loads(listed.read_text())), "features")


class Ledger:
    """Which test names which row, and how it ended."""

    def __init__(self, config: pytest.Config, pages: dict[str, dict[str, Any]]) -> None:
        self.config = config
        self.pages = pages
        self.ids = {row for page in pages.values() for row in page if row != "title"}
        self.rows_of: dict[str, set[str]] = defaultdict(set)
        self.outcomes: dict[str, set[str]] = defaultdict(set)
        self.left_out = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give each test its rows to carry into its reports; refuse a row that nobody promised.

        Reports travel from the worker processes of a parallel run to the one that writes the page.
        """
        unknown = []
        for item in items:
            rows = {row for mark in item.iter_markers("feature") for row in mark.args}
            unknown += [f"{item.nodeid}: {row}" for row in sorted(rows - self.ids)]
            item.user_properties.append((CARRIED, sorted(rows)))
        if unknown:
            raise pytest.UsageError("not in features.toml:\n  " + "\n  ".join(unknown))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Any plugin may narrow the run; this is how each of them says so."""
        self.left_out = self.left_out or bool(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test is as good as its worst phase, a parametrised one as its worst case."""
        if report.when == "call" or not report.passed:
            test = plain(report.nodeid)
            self.outcomes[test].add(report.outcome)
            for name, rows in report.user_properties:
                if name == CARRIED and isinstance(rows, list):
                    self.rows_of[test].update(rows)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the page if everything was collected and run to the end."""
        if hasattr(self.config, "workerinput"):
            return  # one of several processes: the one that started them writes
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        stopped = bool(session.shouldstop or session.shouldfail)
        if not ended or stopped or self.left_out or self.narrowed():
            return
        page = self.config.rootpath / self.config.getini("features_page")
        page.parent.mkdir(parents=True, exist_ok=True)
        text = self.page()
        if not page.exists() or page.read_text() != text:
            page.write_text(text)

    def narrowed(self) -> bool:
        """True when the command line asked for less than all tests."""
        option = self.config.option
        tops = [".", *self.config.getini("testpaths")]
        whole = {(self.config.rootpath / top).resolve() for top in tops}
        asked = {(self.config.invocation_params.dir / arg).resolve() for arg in self.config.args}
        narrowing = (
            "keyword",
            "markexpr",
            "deselect",
            "ignore",
            "ignore_glob",
            "lf",
            "collectonly",
        )
        return not asked & whole or any(getattr(option, name, None) for name in narrowing)

    def page(self) -> str:
        """The whole page as Markdown; equal runs give equal bytes."""
        shown_by = defaultdict(list)
        for test, rows in sorted(self.rows_of.items()):
            for row in rows:
                shown_by[row].append(test)
        parts = [HEAD]
        for page in self.pages.values():
            rows_in = {row: about for row, about in page.items() if row != "title"}
            table = [line(row, about, self.proof(shown_by[row])) for row, about in rows_in.items()]
            now = [row for row, about in rows_in.items() if about["when"] == "now"]
            shown = [row for row in now if not self.proof(shown_by[row]).startswith("not yet")]
            parts.append(
                f"## {page['title']}: {len(shown)} of {len(now)} shown\n\n"
                "| Id | Feature | When | Shown by |\n|---|---|---|---|\n" + "\n".join(table) + "\n"
            )
        return "\n".join(parts)

    def proof(self, tests: list[str]) -> str:
        """The tests that passed, or "not yet"; one that failed takes the row back."""
        failed = [test for test in tests if "failed" in self.outcomes[test]]
        if failed:
            return "not yet: failing " + ", ".join(f"`{short(test)}`" for test in failed)
        passed = [test for test in tests if self.outcomes[test] == {"passed"}]
        return "<br>".join(f"`{short(test)}`" for test in passed) or "not yet"


def plain(nodeid: str) -> str:
    """A test without its parameters: the cases of one test stand or fall together."""
    return nodeid.split("[", 1)[0]


def short(nodeid: str) -> str:
    """`tests/app/x/test_y.py::test_z` without the part that every row would repeat."""
    return nodeid.removeprefix("tests/")


def line(row: str, about: dict[str, str], proof: str) -> str:
    """One table row."""
    title = about["title"] + (f" ({about['note']})" if about.get("note") else "")
    return f"| {row} | {title.replace('|', '&#124;')} | {about['when']} | {proof} |"
