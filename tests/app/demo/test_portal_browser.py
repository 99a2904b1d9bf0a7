"""A real browser, guided by hand-written steps, gets through the stand-in portal."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Page, expect

from app.demo.portal.serve import Portal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="en-GB", accept_downloads=True)
    context.set_default_timeout(5_000)
    yield await context.new_page()
    await context.close()


async def sign_in(page: Page, portal: Portal, password: str = "pw-7") -> None:
    await page.goto(portal.sp_url)
    await page.fill("#username", "uk000007")
    await page.fill("#password", password)
    await page.click("button[type=submit]")


async def see_ticket(page: Page, portal: Portal) -> None:
    await page.wait_for_url(f"{portal.sp_url}/")
    await expect(page.locator("h1")).to_have_text("NVV-Semesterticket")
    await expect(page.locator("main")).to_contain_text("Test Person 7")


@pytest.mark.parametrize("scenario", ["ok", "ok_storage", "ok_post_binding", "expiring_notice"])
async def test_a_browser_signs_in(page: Page, portal: Portal, scenario: str) -> None:
    portal.scenario(scenario)
    await sign_in(page, portal)
    if scenario == "expiring_notice":
        await page.get_by_role("link", name="continue").click()
    await see_ticket(page, portal)


async def test_a_browser_stores_what_the_storage_page_asks(page: Page, portal: Portal) -> None:
    portal.scenario("ok_storage")
    await page.goto(portal.sp_url)
    await page.wait_for_selector("#password")
    kinds = [line["kind"] for line in portal.log()]
    assert kinds == ["start", "flow", "storage_read_page", "storage_read", "login_page"]


@pytest.mark.parametrize("scenario", ["consent", "consent_boxes", "consent_de", "terms"])
async def test_a_browser_agrees(page: Page, portal: Portal, scenario: str) -> None:
    portal.scenario(scenario)
    await sign_in(page, portal)
    if scenario == "terms":
        await page.check("#accept")
        await page.get_by_role("button", name="Submit").click()
    else:
        await page.check("#_shib_idp_doNotRememberConsent")
        accept = "Akzeptieren" if scenario == "consent_de" else "Accept"
        await page.get_by_role("button", name=accept).click()
    await see_ticket(page, portal)


async def test_a_browser_agrees_at_the_portal(page: Page, portal: Portal) -> None:
    portal.scenario("portal_consent")
    await sign_in(page, portal)
    await page.get_by_role("button", name="Accept").click()
    await expect(page.locator("body")).to_contain_text("Thank you")
    await page.goto(portal.sp_url)
    await see_ticket(page, portal)


async def test_a_browser_is_told_of_a_wrong_password(page: Page, portal: Portal) -> None:
    await sign_in(page, portal, "pw-8")
    await expect(page.locator(".form-error")).to_contain_text("incorrect")
    await expect(page.locator("#password")).to_have_value("")
    await page.fill("#username", "uk000007")
    await page.fill("#password", "pw-7")
    await page.click("button[type=submit]")
    await see_ticket(page, portal)


async def test_a_browser_that_is_remembered_need_not_sign_in_again(
    page: Page, portal: Portal
) -> None:
    portal.scenario("ok_sso_skip")
    await sign_in(page, portal)
    await see_ticket(page, portal)
    await page.context.clear_cookies(domain="127.0.0.1")
    await page.goto(portal.sp_url)
    await see_ticket(page, portal)
    stats = portal.stats()
    assert (stats["password_posts"], stats["tickets"]) == (1, 2)


async def test_the_redesigned_form_works_for_a_person(page: Page, portal: Portal) -> None:
    portal.scenario("markup_change")
    await page.goto(portal.sp_url)
    await page.get_by_placeholder("Username").fill("uk000007")
    await page.get_by_placeholder("Password").fill("pw-7")
    await page.get_by_role("button", name="Login").click()
    await see_ticket(page, portal)


async def test_the_code_on_the_page_can_be_scanned(
    page: Page, portal: Portal, tmp_path: Path
) -> None:
    portal.scenario("js_ticket")
    await sign_in(page, portal)
    await see_ticket(page, portal)
    await expect(page.locator(".validity")).to_contain_text("Valid from")
    picture = tmp_path / "code.png"
    await page.locator("#code").screenshot(path=picture)
    with Image.open(picture) as image:
        found = zxingcpp.read_barcodes(image)
    assert [code.format for code in found] == [zxingcpp.BarcodeFormat.Aztec]
    assert found[0].bytes.startswith(b"#UT01NVV-")


async def test_the_offline_copy_stands_alone(page: Page, portal: Portal, tmp_path: Path) -> None:
    await sign_in(page, portal)
    await see_ticket(page, portal)
    async with page.expect_download() as waiting:
        await page.evaluate("exportOffline()")
    copy = tmp_path / "offline.html"
    await (await waiting.value).save_as(copy)
    written = copy.read_text()
    assert "Test Person 7" in written
    assert "data:image/png;base64," in written
    assert portal.sp_url not in written


async def test_the_hostile_ticket_really_bites_who_shows_it_bare(
    page: Page, portal: Portal
) -> None:
    portal.scenario("hostile_html")
    trapped = "response", lambda answer: answer.url.startswith(portal.trap_url)
    async with page.context.expect_event(*trapped):
        await sign_in(page, portal)
    assert portal.stats()["trapped"] > 0
