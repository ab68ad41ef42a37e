"""The rider app in a real browser: sign up, choose, take photos, show the code, leave."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from edge_gate import ride_code
from edge_gate.adapters import opencv
from edge_gate.face import Image
from edge_gate.ride_code import KeyRing, RideCodeConfig
from enroll.adapters.memory import MemoryRiderStore
from enroll.code import published
from enroll.web.app import build
from enroll.web.desk import Desk
from tests.people import group, portraits
from tests.riders import MONDAY, assessor, desk, png
from tests.served import served

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=800)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="module")
def people() -> dict[str, Image]:
    """Give the portraits by name."""
    return portraits()


def film(portrait: Image, path: Path) -> Path:
    """Write a second of raw video for the browser's fake camera: the portrait before a wall."""
    high, wide = 480, 640
    picture = np.full((high, wide, 3), 140, np.uint8)
    scaled = cv2.resize(portrait, None, fx=1.4, fy=1.4)
    top, left = (high - scaled.shape[0]) // 2, (wide - scaled.shape[1]) // 2
    picture[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes()
    head = f"YUV4MPEG2 W{wide} H{high} F5:1 Ip A1:1 C420\n".encode()
    path.write_bytes(head + (b"FRAME\n" + planes) * 5)
    return path


@pytest.fixture(scope="module")
def browser(
    people: dict[str, Image], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """Start Chromium with Eileen before its camera, or skip where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium on the path")
    footage = film(people["Eileen"], tmp_path_factory.mktemp("camera") / "eileen.y4m")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=[*FLAGS, f"--use-file-for-fake-video-capture={footage}"]
        )
        yield started
        started.close()


@pytest.fixture
def office() -> Desk:
    """Give a counter over riders in memory, with the real eye."""
    return desk(MemoryRiderStore(["S1"]), judge=assessor())


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def page(request: pytest.FixtureRequest, browser: Browser, office: Desk) -> Iterator[Page]:
    """Open the app on a phone's and on a desktop's screen; a script error fails the test."""
    problems: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # A refused photo answers 422, which the browser reports as a failed load.
        if message.type == "error" and "422" not in message.text:
            problems.append(message.text)

    with served(build(office)) as address:
        context = browser.new_context(viewport=request.param, base_url=address)
        opened = context.new_page()
        opened.set_default_timeout(10_000)
        opened.on("console", hear)
        opened.on("pageerror", lambda error: problems.append(str(error)))
        yield opened
        context.close()
    assert problems == []


def sign_up(page: Page, name: str, *choices: str) -> None:
    """Sign up and switch some choices on."""
    page.goto("/")
    page.fill("#name", name)
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/me/choices")
    for purpose in choices:
        page.click(f"[data-purpose={purpose}] [role=switch]")
        page.wait_for_selector(f"[data-purpose={purpose}] [aria-checked=true]")


def fits(page: Page) -> bool:
    """Tell whether nothing sticks out at the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


class TestRiderApp:
    """What a rider does, as a rider does it."""

    def test_from_sign_up_to_code(
        self, page: Page, office: Desk, people: dict[str, Image], tmp_path: Path
    ) -> None:
        """Refusals show beside their photos, the face goes on, and a gate reads the screen."""
        files = {"eileen.png": people["Eileen"], "group.png": group(), "kim.png": people["Kim"]}
        for name, image in files.items():
            (tmp_path / name).write_bytes(png(image))
        sign_up(page, "Eileen", "collect", "store", "send", "pay")
        assert fits(page)
        page.get_by_role("link", name="Next: photos").click()
        page.set_input_files("#files", [tmp_path / name for name in files])
        page.wait_for_selector("#judged li.taken")
        expect(page.locator("#judged li.refused")).to_have_count(2)
        judged = page.locator("#judged").inner_text()

        assert "We see more than one face." in judged
        assert "This does not look like the person on your first photo." in judged
        expect(page.locator("#accepted [data-photo]")).to_have_count(1)
        assert page.locator("#face-words").inner_text() == "Your face opens the gates."
        assert fits(page)

        page.goto("/me/code")
        page.wait_for_selector("#code svg path")
        expect(page.locator("#says")).to_contain_text("Good for")
        assert fits(page)
        shown = opencv.decode(page.screenshot())
        (read,) = zxingcpp.read_barcodes(shown)
        ring = KeyRing([published(office.issuer)])
        verified = ride_code.verify(read.bytes, ring, MONDAY, RideCodeConfig())
        assert isinstance(verified, ride_code.Accepted)

    def test_photo_before_the_script(
        self, page: Page, people: dict[str, Image], tmp_path: Path
    ) -> None:
        """A photo chosen while a slow line still brings the script is sent all the same."""
        (tmp_path / "eileen.png").write_bytes(png(people["Eileen"]))
        sign_up(page, "Eileen", "collect", "store", "send", "pay")
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/app/photos.js", hold, times=1)
        with page.expect_request("**/app/photos.js"):
            page.goto("/me/photos", wait_until="commit")

        page.set_input_files("#files", tmp_path / "eileen.png")
        (script,) = held
        script.continue_()

        expect(page.locator("#accepted [data-photo]")).to_have_count(1)

    def test_camera(self, page: Page) -> None:
        """The live picture is judged as it runs, and the photo taken from it is accepted."""
        sign_up(page, "Eileen", "collect", "store", "send", "pay")
        page.goto("/me/photos")
        page.click("#camera")
        page.wait_for_selector(".oval.good")
        assert "Take the photo" in page.locator(".guide").inner_text()
        page.click("#shoot")
        page.wait_for_selector("#judged li.taken")
        expect(page.locator("#accepted [data-photo]")).to_have_count(1)

        page.click("#stop")
        page.get_by_role("button", name="Delete photo 1").click()
        expect(page.locator("[data-photo]")).to_have_count(0)

    def test_code_refreshes_itself(self, browser: Browser, office: Desk) -> None:
        """Before the shown code runs out another one takes its place without a touch."""
        with served(build(office)) as address:
            context = browser.new_context(viewport=PHONE, base_url=address)
            page = context.new_page()
            page.clock.install()
            sign_up(page, "Eileen", "pay")
            page.goto("/me/code")
            page.wait_for_selector("#code svg path")
            first = page.locator("#code").inner_html()
            page.clock.run_for((office.codes.refresh_s - 2) * 1000)
            kept = page.locator("#code").inner_html()
            page.clock.run_for(3_000)
            for _ in range(50):  # the clock is held, the network is not
                if page.locator("#code").inner_html() != first:
                    break
                page.clock.run_for(20)
            assert kept == first
            assert page.locator("#code").inner_html() != first
            context.close()

    def test_pause_pay_and_leave(
        self, page: Page, people: dict[str, Image], tmp_path: Path
    ) -> None:
        """Pause and resume, stations, wallet and leaving: one tap each, and every page fits."""
        (tmp_path / "me.png").write_bytes(png(people["Robin"]))
        sign_up(page, "Robin", "collect", "store", "send", "pay")
        page.goto("/me/photos")
        page.set_input_files("#files", tmp_path / "me.png")
        page.wait_for_selector("#accepted [data-photo]")

        page.goto("/me")
        page.get_by_role("button", name="Pause my face").click()
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("button", name="Pause my face").wait_for()
        assert fits(page)

        page.goto("/me/stations")
        page.select_option("#home-0", label="Bell Tower")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Saved.").wait_for()
        assert fits(page)
        page.goto("/me")
        page.select_option("#coming", label="North Gate")
        page.get_by_role("button", name="I am coming").click()
        page.get_by_text("North Gate expects you until").wait_for()
        assert page.get_by_text("at any hour").locator("strong").inner_text() == "Bell Tower"
        assert fits(page)

        page.goto("/me/trips")
        page.get_by_role("button", name="+ CNY 50").click()
        expect(page.locator("#wallet")).to_have_text("CNY 50.00")
        page.fill("#token", "4111111111111111")
        page.get_by_role("button", name="Pay with this card").click()
        page.get_by_text("This card cannot be used").wait_for()
        page.fill("#token", "tok_robin")
        page.get_by_role("button", name="Pay with this card").click()
        page.get_by_text("bank card tok_robin").wait_for()
        assert fits(page)

        page.goto("/me/leave")
        page.get_by_role("button", name="Withdraw now").click()
        page.wait_for_url("**/me")
        page.get_by_text("Nothing of your face is kept.").wait_for()
        assert "measurements of 1 photo" in page.locator("main").inner_text()
        assert fits(page)

    def test_minor(self, page: Page) -> None:
        """Under 14 the guardian's switch comes first, and the others wait for it."""
        page.goto("/")
        page.get_by_label("Under 14").check()
        page.get_by_role("button", name="Sign up").click()
        page.wait_for_url("**/me/choices")
        switches = page.get_by_role("switch")
        assert switches.first.get_attribute("aria-labelledby") == "t-guardian"
        assert [each.is_disabled() for each in switches.all()] == [False] + [True] * 5

        switches.first.click()
        page.wait_for_selector("[data-purpose=pay] [role=switch]:enabled")
        assert not any(each.is_disabled() for each in switches.all())
