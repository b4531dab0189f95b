"""A real browser, and where its pictures go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from browser_rig import WIDE, OpenPage, Watched
from playwright.sync_api import Browser, ViewportSize, sync_playwright

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where pictures go, for CI to keep: $TIDEMARK_ARTEFACTS, or ``artefacts``."""
    folder = Path(os.environ.get("PYTEST_ARTEFACTS", ROOT / "artefacts")) / "dashboard"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# Of a module and not of the session: while it is there no other event loop runs in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on the PATH; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=path, args=options)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser, artefacts: Path) -> Iterator[OpenPage]:
    """Open a page: its url, and a theme and a size of the screen."""
    contexts = []

    def opened(
        url: str, *, theme: Any = "light", size: Any = None, reduced: bool = True
    ) -> Watched:
        context = browser.new_context(
            viewport=size if size is not None else cast("ViewportSize", WIDE),
            color_scheme=theme,
            reduced_motion="reduce" if reduced else "no-preference",
        )
        contexts.append(context)
        return Watched(context.new_page(), url, artefacts)

    yield opened
    for context in contexts:
        context.close()
