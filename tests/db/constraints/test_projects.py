"""Projects: names and ports belong to one of them; children wake their parent."""

from typing import Any

import apsw
import pytest

from db.keys import uuid7
from tests.db.constraints.rows import OLD, a_project, a_user, ask, insert, refused


@pytest.mark.parametrize(
    "values",
    [
        {"slug": "My Shop"},
        {"slug": "-shop"},
        {"slug": "s" * 51},
        {"status": "gone"},
        {"productionStatus": "live"},
        {"pathOnDisk": "/etc"},
        {"pathOnDisk": "files/../../etc"},
        {"devPort": 70000},
        {"name": ""},
    ],
)
def test_a_bad_project_is_refused(live: apsw.Connection, values: dict[str, Any]) -> None:
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        a_project(live, a_user(live), **values)


def test_ports_and_names_belong_to_one_project(live: apsw.Connection) -> None:
    user = a_user(live)
    first = a_project(live, user)
    for values in ({}, {"slug": "two"}, {"slug": "two", "devPort": 1}):
        with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
            a_project(live, user, **values)
    second = a_project(live, user, slug="two", devPort=20003, opencodePort=20004)
    insert(live, "projectPorts", port=20001, projectId=first, kind="dev")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        insert(live, "projectPorts", port=20001, projectId=second, kind="dev")
    assert "prompt" in refused(live, "UPDATE projects SET prompt = 'another'")
    assert "FOREIGN KEY" in refused(live, "DELETE FROM users")


def test_rows_without_an_owner_wake_the_row_that_has_one(live: apsw.Connection) -> None:
    user = a_user(live)
    project = a_project(live, user)
    chat = {"projectId": project, "ownerUserId": user, "updatedAt": OLD}
    insert(live, "projectSessions", id="ses_1", **chat)

    def woken(table: str) -> bool:
        (stamp,) = ask(live, f"SELECT updatedAt FROM {table}")[0]
        ask(live, f"UPDATE {table} SET updatedAt = ?", OLD)
        return bool(stamp > OLD)

    assert woken("projects")
    insert(live, "projectMessages", id="msg_1", sessionId="ses_1", projectId=project, role="user")
    assert woken("projectSessions")
    assert not woken("projects")
    insert(live, "projectParts", id="prt_1", messageId="msg_1", ordinal=1, type="text", json="{}")
    assert woken("projectSessions")
    insert(live, "deployments", id=uuid7(), projectId=project)
    assert woken("projects")
    ask(live, "UPDATE deployments SET state = 'live'")
    assert woken("projects")
    insert(live, "projectUsage", projectId=project, day="2026-11-20", modelID="m")
    assert woken("projects")
