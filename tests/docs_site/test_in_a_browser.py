"""The site in a real headless Chromium: it works, and asks nobody else for anything."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
#: Width and height of the screens looked at.
_SCREENS = {"desk": (1280, 900), "phone": (390, 844)}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the tests say what is wrong."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where pictures go, for CI to keep: $TIDEMARK_ARTEFACTS, or ``artefacts``."""
    folder = Path(os.environ.get("PYTEST_ARTEFACTS", ROOT / "artefacts")) / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on the PATH; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=path, args=options)
        yield started
        started.close()


class Watched:
    """A page, what it complained of, and whom it asked."""

    def __init__(self, browser: Browser, screen: str, scheme: Any) -> None:
        width, height = _SCREENS[screen]
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))

    def _note(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", list(_SCREENS))
@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/", "Tidemark"),
        ("/reference/http-api/", "HTTP, request by request"),
        ("/explanation/update-rule/", "The update rule"),
    ],
)
def test_pages_open_without_a_complaint(
    chromium: Browser,
    address: str,
    artefacts: Path,
    path: str,
    title: str,
    screen: str,
    scheme: str,
) -> None:
    watched = Watched(chromium, screen, scheme)
    watched.page.goto(f"{address}{path}", wait_until="networkidle")
    expect(watched.page.locator("article h1")).to_contain_text(title)
    # tables and code scroll in boxes of their own
    wide = watched.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert not wide, "the page is wider than the screen"
    name = f"{path.strip('/').replace('/', '-') or 'index'}-{screen}-{scheme}.png"
    watched.page.screenshot(path=artefacts / name)
    assert watched.complaints == []
    assert all(url.startswith((address, "data:", "blob:")) for url in watched.asked), watched.asked
    watched.page.close()


def test_the_search_finds_how_to_forget(chromium: Browser, address: str) -> None:
    watched = Watched(chromium, "desk", "light")
    watched.page.goto(address, wait_until="networkidle")
    box = watched.page.get_by_role("textbox", name="Search")
    box.click()  # the index is loaded now
    box.press_sequentially("forget")
    result = watched.page.locator(".md-search-result__item a[href*='how-to/forget/']").first
    expect(result).to_be_visible(timeout=15_000)
    result.click()
    expect(watched.page.locator("article h1")).to_contain_text("Forget a user")
    assert watched.complaints == []
    assert all(url.startswith((address, "data:", "blob:")) for url in watched.asked), watched.asked
    watched.page.close()
