"""A page in a real browser, and what it must not do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from system_helpers import wait_until

__all__ = ["PHONE", "WIDE", "OpenPage", "Watched"]

#: Widths of a screen and of a phone.
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
WAIT_MS = 30_000

OpenPage = Callable[..., "Watched"]


class Watched:
    """A page, and what it must not do.

    Attributes:
        page: of the browser.
        errors: what it wrote to the console as an error or a warning, and what it threw.
        elsewhere: requests to other origins.
    """

    def __init__(self, page: Page, url: str, artefacts: Path) -> None:
        self.page, self.url, self._artefacts = page, url, artefacts
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def go(self, place: str = "/") -> Watched:
        """Show one of the dashboard's views."""
        self.page.goto(f"{self.url}/dashboard#{place}")
        return self

    def text(self, selector: str = "main") -> str:
        """What stands there."""
        return self.page.locator(selector).inner_text()

    def waits_for(self, script: str) -> None:
        """Until a condition holds in the page."""
        # Not Playwright's own waiting: it evaluates in the page, whose policy allows no such thing.
        wait_until(lambda: bool(self.page.evaluate(script)), seconds=WAIT_MS / 1000)

    def has(self, words: str, selector: str = "main") -> None:
        """Until these words are shown."""
        self.page.locator(selector).get_by_text(words).first.wait_for(timeout=WAIT_MS)

    def live(self) -> Watched:
        """Until frames come."""
        self.page.locator('#live[data-state="live"]').wait_for(timeout=WAIT_MS)
        return self

    def keep(self, name: str) -> None:
        """A picture of the whole page, among the artefacts."""
        self.page.screenshot(path=self._artefacts / f"{name}.png", full_page=True)

    def is_accessible(self) -> None:
        """No serious or critical finding of axe-core, and nothing beside the page's width."""
        found = Axe().run(self.page).response["violations"]
        serious = [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]
        assert not serious, "\n".join(serious)
        width, most = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= most, "the page is wider than the screen"

    def is_clean(self) -> None:
        """It did nothing that it must not."""
        assert self.errors == []
        assert self.elsewhere == []
