"""What operators see, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_rig import PHONE, WIDE, OpenPage
from dashboard_rig import FakeLetters, Rig, dashboard_rig, letter, working

from store.service import ServiceSettings
from store.tokens import Token, digest, new_token
from streams.processes import free_port

pytestmark = pytest.mark.timeout(180)

SCRIPT = b"<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with dashboard_rig(letters=FakeLetters(letters=[letter(SCRIPT)])) as one, working(one.worker):
        yield one


@pytest.mark.parametrize(
    ("theme", "size"), [("light", WIDE), ("dark", WIDE), ("light", PHONE), ("dark", PHONE)]
)
def test_figures_appear_and_all_can_be_read(
    rig: Rig, open_page: OpenPage, theme: str, size: dict[str, int]
) -> None:
    shown = open_page(rig.url, theme=theme, size=size).go().live()
    for words in ("Throughput", "applied", "duplicate", "exact float32", "malformed", "down"):
        shown.has(words)
    shown.has("no connection")  # why the other worker is down
    shown.waits_for("/[1-9].*\\/s/.test(document.querySelector('.summary .stat dd').textContent)")
    for title in ("Lag", "Workers", "Batches", "Encoder", "Online quality", "Indexes", "Requests"):
        assert shown.page.get_by_role("heading", name=title, exact=True).is_visible()
    # what this worker does not report is not shown as 0
    encoder = shown.page.locator("section", has=shown.page.get_by_role("heading", name="Encoder"))
    assert "not reported" in encoder.first.inner_text()
    assert shown.page.locator(".plot canvas").count() >= 6
    shown.is_accessible()
    shown.keep(f"overview-{theme}-{size['width']}")
    shown.is_clean()


def test_the_page_follows_what_happens(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go().live()
    shown.has("malformed")
    rig.worker.actions.labels("view", "fenced").inc(1000)
    shown.has("fenced")  # a series that was not there before
    rig.letters.letters.append(letter(b"another", "came while the page was open"))
    shown.has("came while the page was open")
    shown.is_clean()


def test_the_headline_counts_what_was_applied(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go().live()
    rig.worker.actions.labels("view", "duplicate").inc(10_000_000)
    applied = shown.page.locator(".summary .stat", has_text="Actions applied")
    shown.has("duplicate")
    shown.waits_for("[...document.querySelectorAll('.legend tr')].some(one => "
                    "/^duplicate.*\\d ?[kM]/.test(one.textContent))")  # fmt: skip
    assert "k" not in applied.locator("dd").first.inner_text()
    shown.is_clean()


def test_a_time_below_a_charts_last_moment_has_room(rig: Rig, open_page: OpenPage) -> None:
    """Labels stand centred below their moment, which may be the last one."""
    shown = open_page(rig.url).go().live()
    shown.page.locator(".plot canvas").first.wait_for()
    missing = shown.page.evaluate(
        """() => [...document.querySelectorAll('.plot')]
            .filter(plot => plot.clientWidth).map(plot => {
            const pen = document.createElement('canvas').getContext('2d');
            pen.font = '11px system-ui';
            const over = plot.querySelector('.u-over').getBoundingClientRect();
            const room = plot.getBoundingClientRect().right - over.right;
            return pen.measureText('00:00:00').width / 2 - room; })"""
    )
    assert missing
    assert max(missing) <= 0
    shown.is_clean()


def test_a_letter_that_was_replayed_says_so(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go("/letters").live()
    rig.letters.letters += [letter(b"1", "was mended", 1_001), letter(b"2", "is broken", 1_002)]
    shown.has("is broken")
    marks = (
        "[...document.querySelectorAll('.letters li')].filter(one => one.innerText.includes('%s'))"
    )
    seen = f"({marks}).every(one => one.innerText.includes('replayed'))"
    assert not shown.page.evaluate(seen % "was mended")
    rig.letters.replayed.add(("actions", 2, 1_001))
    shown.waits_for(seen % "was mended")
    assert not shown.page.evaluate(seen % "is broken")
    shown.is_accessible()
    shown.is_clean()


def test_a_dead_letter_is_shown_and_does_nothing(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go("/letters").live()
    rig.letters.letters.append(letter(SCRIPT, "<b>not bold</b>"))
    shown.page.get_by_text("<b>not bold</b>").first.click()
    value = shown.page.get_by_role("region", name="Value as text").first
    value.wait_for()
    assert value.inner_text() == SCRIPT.decode()
    digits = shown.page.get_by_role("region", name="Value in hexadecimal digits").first
    assert digits.inner_text().startswith("0000  3c 73 63 72 69 70 74")
    assert shown.page.evaluate("window.pwned") is None
    assert shown.page.locator("main script, main img, main b:text('not bold')").count() == 0
    shown.is_accessible()
    shown.keep("dead-letters")
    shown.is_clean()


def test_everything_can_be_reached_with_the_keyboard(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go().live()
    shown.has("malformed")
    page = shown.page
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            """() => { const at = document.activeElement;
                const ring = at.matches('.ranges input') ? at.nextElementSibling : at;
                return [at.getAttribute('aria-label') || at.textContent.trim() || at.type,
                        getComputedStyle(ring).outlineStyle]; }"""
        )
        reached.append(name)
        assert outline != "none" or name.startswith("Skip"), f"no focus is seen on {name!r}"
        if name == "Chart: Actions per second by outcome. Arrow keys move through time.":
            break
    else:
        pytest.fail(f"the first chart was not reached: {reached}")
    assert reached[0] == "Skip to the content"
    assert "Map" in reached
    page.keyboard.press("ArrowLeft")
    shown.waits_for("[...document.querySelectorAll('[aria-live]')].some("
                    "one => /^\\d\\d:\\d\\d:\\d\\d, applied/.test(one.textContent))")  # fmt: skip
    page.get_by_role("link", name="Users", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Users", exact=True).wait_for()
    assert page.evaluate("document.activeElement.id") == "main"
    shown.is_clean()


def test_a_theme_that_was_chosen_stays(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url, theme="light").go().live()
    background = "getComputedStyle(document.body).backgroundColor"
    light = shown.page.evaluate(background)
    shown.page.get_by_role("button", name="Dark theme").click()
    dark = shown.page.evaluate(background)
    assert dark != light
    shown.page.reload()
    shown.live()
    assert shown.page.evaluate(background) == dark
    shown.page.get_by_role("button", name="Light theme").click()
    assert shown.page.evaluate(background) == light
    shown.is_clean()


def test_without_workers_the_page_says_what_to_set(open_page: OpenPage) -> None:
    source = FakeLetters(error=ConnectionError("no broker answers at broker1:9092"))
    with dashboard_rig(workers=False, letters=source) as rig:
        shown = open_page(rig.url).go().live()
        shown.has("TIDEMARK_DASHBOARD__WORKERS")
        assert shown.page.get_by_text("No workers configured").count() >= 4
        shown.has("no broker answers at broker1:9092")
        shown.is_accessible()
        shown.keep("overview-without-workers")
        shown.is_clean()


def test_no_dead_letters_and_a_service_that_is_not_ready(open_page: OpenPage) -> None:
    with dashboard_rig(stock=False) as rig:
        shown = open_page(rig.url).go().live()
        shown.has("This service is not ready: reading the history")
        shown.has("No dead letters")
        shown.keep("overview-not-ready")
        shown.is_clean()
        shown.go("/map").has("Not ready")
        shown.has("reading the history")
        shown.is_accessible()


def test_a_stream_that_is_lost_is_said_and_found_again(open_page: OpenPage) -> None:
    port = free_port()
    with dashboard_rig(port=port) as rig:
        shown = open_page(rig.url).go().live()
        shown.has("Throughput")
    shown.page.locator('#live[data-state="lost"]').wait_for()
    shown.has("The live figures stopped", "#notice")
    assert shown.page.get_by_role("heading", name="Throughput").is_visible()  # what was before
    shown.is_accessible()
    shown.keep("overview-lost")
    with dashboard_rig(port=port):
        shown.page.get_by_role("button", name="Try now").click()
        shown.live()
        shown.waits_for("document.querySelector('#notice').textContent === ''")
    assert shown.elsewhere == []


def test_a_token_is_asked_for_and_kept_to_this_tab(open_page: OpenPage) -> None:
    secrets = {"admin": new_token(), "read": new_token()}
    tokens = (
        Token(digest(secrets["admin"]), frozenset({"admin"}), "a"),
        Token(digest(secrets["read"]), frozenset({"read"}), "r"),
    )
    with dashboard_rig(settings=ServiceSettings(tokens=tokens)) as rig:
        shown = open_page(rig.url).go()
        page = shown.page
        shown.has("A token is needed")
        shown.is_accessible()
        shown.keep("token")
        for given, words in (("wrong", "The token is not known"), (secrets["read"], "has not the")):
            page.get_by_label("Token with the scope “admin”").fill(given)
            page.keyboard.press("Enter")
            shown.has(words)
        page.get_by_label("Token with the scope “admin”").fill(secrets["admin"])
        page.get_by_role("button", name="Use it").click()
        shown.live().has("Throughput")
        shown.go("/users").has("Token with the scope “read”")
        page.get_by_label("Token with the scope “read”").fill(secrets["read"])
        page.keyboard.press("Enter")
        shown.has("ann")
        asked = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
        assert not any(one in url for one in secrets.values() for url in [*asked, page.url])
        assert page.evaluate("JSON.stringify(localStorage)") == "{}"
        assert shown.elsewhere == []
