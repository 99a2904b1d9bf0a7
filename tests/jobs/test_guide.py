"""The examples of docs/queue.md, run in their order."""

import re
from pathlib import Path
from typing import Any

import pytest

from db.engine import DB, ApswEngine
from jobs import batch
from jobs.registry import REGISTRY
from jobs.testing import drain, perform

pytestmark = pytest.mark.anyio

GUIDE = Path(__file__).parents[2] / "docs" / "queue.md"


@pytest.fixture
def guide() -> Any:
    """The names the examples define, in a registry of their own for as long as the test runs."""
    tables: list[dict[str, Any]] = [
        REGISTRY.handlers,
        REGISTRY.schedules,
        REGISTRY.ticks,
        REGISTRY.rates,
    ]
    before = [dict(table) for table in tables]
    for table in tables:
        table.clear()
    names: dict[str, Any] = {"__name__": "app.guide.jobs"}
    for example in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S):
        exec(compile(example, str(GUIDE), "exec"), names)  # noqa: S102 - our own page
    yield names
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


@pytest.mark.feature("Q-33")
async def test_the_guides_examples_run(db: ApswEngine, guide: Any) -> None:
    await DB.execute("CREATE TABLE greetings(user_id TEXT NOT NULL, words TEXT NOT NULL)")
    await guide["test_greeting_once"]()
    made = await guide["welcome_all"](["ben", "cleo"])
    assert (await drain([guide["Greet"]])).total() == 3
    found = await batch.get(made)
    assert found is not None
    assert (found.succeeded, found.callback_job_id is not None) == (2, True)
    assert await DB.value("SELECT words FROM greetings WHERE user_id='admin'") == "All greeted"
    assert REGISTRY.check([guide["Greet"]]) == []
    with pytest.raises(Exception, match="nothing to say"):
        await perform(guide["Greet"](user_id="x", words=""))
