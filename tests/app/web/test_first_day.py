"""The pages on the first day: every list says why it is empty, and what fills it."""

import pytest

from tests.app.web.places import Place
from tests.app.web.survey import walk
from tests.app.web.town import Town

pytestmark = pytest.mark.anyio

LISTS = (
    *("/", "/jobs", "/notifications", "/palette?q=zzz", "/account/tokens", "/admin/invites?q=zzz"),
    *(
        "/tickets",
        "/tickets/list",
        "/tickets/history",
        "/tickets/devices",
        "/admin/tickets/history",
    ),
    *("/firmware", "/firmware/devices", "/firmware/queries"),
    *("/admin/queue", "/admin/queue/jobs", "/admin/queue/batches", "/admin/users?q=zzz"),
    *("/admin/audit?who=nobody", "/tickets/show"),
)


@pytest.mark.feature("X-59")
async def test_empty_pages_are_clean_fit_and_lead_on(empty: Town) -> None:
    seen = await walk(empty, [Place(path, path, "user") for path in LISTS])
    assert len(seen) == len(LISTS)
    assert [each.place.path for each in seen if each.status != 200] == []
    found = [f"{each.place.path}, {it}" for each in seen for it in [*each.wide, *each.faults]]
    assert not found, "\n".join(found)
