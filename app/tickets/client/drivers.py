"""Which way a page is fetched: over http, by a browser, or a browser only where needed."""

import msgspec

from app.tickets.client import browser, http
from app.tickets.client.driver import BeforePost, Credential, FetchResult, Policy, Progress
from app.tickets.outcomes import Fault, Outcome
from app.tickets.profiles import IGNORED_BY_HTTP, Profile


async def fetch(
    driver: str,
    credential: Credential,
    profile: Profile,
    policy: Policy,
    progress: Progress,
    *,
    before_post: BeforePost | None = None,
    browser_path: str = "",
) -> FetchResult:
    """The ticket page by `http`, `browser` or `auto`; raises Fault.

    `auto` asks a browser once, and only for a page that is drawn by script: a robot check is told
    to the person, whatever the driver.
    """
    if driver == "browser":
        return await browser.fetch(
            credential, profile, policy, progress, before_post=before_post, path=browser_path
        )
    try:
        result = await http.fetch(credential, profile, policy, progress, before_post=before_post)
    except Fault as fault:
        script = fault.outcome is Outcome.NEEDS_JAVASCRIPT
        if driver != "auto" or not script or not browser.is_there(browser_path):
            raise
        result = await browser.fetch(
            credential, profile, policy, progress, before_post=before_post, path=browser_path
        )
        return msgspec.structs.replace(result, steps=(*fault.steps, *result.steps))
    return msgspec.structs.replace(result, ignored=ignored_by_http(profile))


def ignored_by_http(profile: Profile) -> tuple[str, ...]:
    """The fields of an own device that say something the http driver cannot honour."""
    if not profile.own:
        return ()
    placed = profile.latitude is not None
    return tuple(name for name in IGNORED_BY_HTTP if placed or not name.startswith("geolocation"))
