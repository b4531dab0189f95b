"""Users, items and the map, in a real browser; and parts of the page that can be asked alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import numpy as np
import pytest
from browser_rig import PHONE, WIDE, OpenPage
from dashboard_rig import Rig, dashboard_rig
from store_fakes import DIM, X, Y, item_record, make_state, profile_record

from store.profile import Contribution
from store.ranking.learner import Learner
from store.ranking.warm_up import warm_up

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with dashboard_rig() as one:
        one.push(
            profile_record(
                "long",
                make_state(
                    X + Y, offset=3, seen=["x"],
                    contributions=[Contribution("view", "x", 0.7, 1.0),
                                   Contribution("like", "y", 0.7, 1.0)],
                ),
            )
        )  # fmt: skip
        yield one


@pytest.mark.parametrize(("theme", "size"), [("light", WIDE), ("dark", PHONE)])
def test_a_user_is_shown_with_all_that_is_known(
    rig: Rig, open_page: OpenPage, theme: str, size: dict[str, int]
) -> None:
    shown = open_page(rig.url, theme=theme, size=size).go("/users/long")
    for words in (
        "What it is made of", "Title of y", "Candidates, and why", "Users alike", "Recently seen",
        "How it came to be", "Title of xy", "a factor of 0.490",
    ):  # fmt: skip
        shown.has(words)
    assert shown.page.locator(".candidates details[open] .weights li").count() == 2  # why
    assert shown.page.locator("main button").count() == 0  # nothing can be changed here
    shown.is_accessible()
    shown.keep(f"user-{theme}-{size['width']}")
    shown.is_clean()


def test_candidates_of_the_blend_say_what_their_scores_are_made_of(open_page: OpenPage) -> None:
    warm_up(DIM)
    with dashboard_rig(learner=Learner(DIM, partners=16)) as rig:
        shown = open_page(rig.url, theme="light", size=WIDE).go("/users/ann")
        for words in ("Ordered by the learned blend", "text like the user’s", "popular now"):
            shown.has(words)
        assert shown.page.locator(".candidates details[open] .weights").count() == 2
        shown.is_accessible()
        shown.keep("user-blend")
        shown.is_clean()


def test_a_profile_that_changes_is_followed(rig: Rig, open_page: OpenPage) -> None:
    rig.push(profile_record("moving", make_state(X, offset=1)))
    shown = open_page(rig.url).go("/users/moving")
    shown.has("No change since the page was opened.")
    rig.push(profile_record("moving", make_state(Y, offset=2)))
    shown.has("1 changes; the last at")
    shown.has("drift 1.0000")
    shown.is_clean()


@pytest.mark.parametrize("user_id", ["..", "a/b?c#d", "ü & <b>", "100%", " "])
def test_users_of_any_id_have_a_page(rig: Rig, open_page: OpenPage, user_id: str) -> None:
    rig.push(profile_record(user_id, make_state(X, offset=1)))
    shown = open_page(rig.url)
    shown.go(f"/users/{quote(user_id, safe='')}").has("What it is made of")
    assert shown.page.locator("h1").text_content() == f"User {user_id}"
    assert shown.page.locator("main b:text('<b>')").count() == 0
    shown.is_clean()


def test_users_are_found_by_a_part_of_their_id(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go("/users")
    shown.has("The users that came last")
    shown.page.get_by_label("User id").fill("AN")
    shown.has("Found")
    shown.page.get_by_role("link", name="ann", exact=True).click()
    shown.has("search")
    shown.go("/users")
    shown.page.get_by_label("User id").fill("nobody like that")
    shown.has("No such user")
    shown.is_accessible()
    shown.is_clean()
    shown.page.keyboard.press("Enter")
    shown.has("Not there")  # and the browser notes the 404 on its console


def test_an_item_leads_to_its_like_and_its_users(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go("/items/x")
    shown.has("Items like it")
    shown.is_accessible()
    shown.page.get_by_role("link", name="ann", exact=True).click()
    shown.has("Candidates, and why")
    shown.is_clean()


@pytest.mark.parametrize(("theme", "size"), [("light", WIDE), ("dark", WIDE), ("dark", PHONE)])
def test_the_map_can_be_explored_by_mouse_and_keyboard(
    rig: Rig, open_page: OpenPage, theme: str, size: dict[str, int]
) -> None:
    shown = open_page(rig.url, theme=theme, size=size).go("/map")
    page = shown.page
    canvas = page.get_by_role("application", name="Map of users and items")
    canvas.wait_for()
    shown.has("of the variance")
    shown.is_accessible()
    shown.keep(f"map-{theme}-{size['width']}")
    canvas.focus()
    seen = set()
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "+", "-", "0"):
        page.keyboard.press(key)
        seen.add(canvas.get_attribute("data-selected"))
    assert len(seen) >= 2
    page.keyboard.press("Escape")
    assert page.locator(".map-label").is_hidden()
    search = page.get_by_label("Find")
    search.fill("title of y")
    shown.has("1 found")
    search.press("Enter")
    assert canvas.get_attribute("data-selected") == "y"
    shown.has("Title of y", ".map-label")
    page.get_by_text("As a table").click()
    assert page.get_by_role("region", name="Points").get_by_role("link").all_inner_texts() == [
        "Title of y"
    ]
    canvas.focus()
    page.keyboard.press("Enter")
    shown.has("Items like it")
    shown.is_clean()


def test_a_click_on_a_point_opens_it(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go("/map")
    shown.has("of the variance")
    place = shown.page.evaluate(
        """async () => {
            const map = await (await fetch('v1/dashboard/map')).json();
            const { Plane } = await import(new URL('dashboard/mapdraw.js', location.href).href);
            const canvas = document.querySelector('canvas');
            const plane = new Plane(canvas);
            const points = [map.items, map.users].flatMap((one) => one.id.map(
                (id, at) => ({ id, x: one.x[at], y: one.y[at], kind: 'item', tone: 'ink' })));
            plane.show(points);
            const [x, y] = plane.place(points.find((one) => one.id === 'y'));
            const box = canvas.getBoundingClientRect();
            return [box.left + x, box.top + y];
        }"""
    )
    shown.page.mouse.move(*place)
    shown.has("Title of y", ".map-label")
    shown.page.mouse.click(*place)
    shown.has("Items like it")
    shown.is_clean()


def test_an_empty_service_says_so(open_page: OpenPage) -> None:
    with dashboard_rig(stock=False) as rig:
        rig.push()
        rig.known()
        shown = open_page(rig.url).go("/map")
        shown.has("Nothing to draw yet")
        shown.go("/users").has("No users yet")
        shown.is_accessible()
        shown.keep("users-empty")


def test_thousands_of_points_are_drawn(open_page: OpenPage) -> None:
    rng = np.random.default_rng(3)
    with dashboard_rig() as rig:
        rig.push(*(item_record(f"i{at}", rng.normal(size=4)) for at in range(2_500)))
        shown = open_page(rig.url).go("/map")
        shown.has("2,000 of 2,503 items")
        shown.is_clean()


def test_events_are_read_however_they_are_cut(rig: Rig, open_page: OpenPage) -> None:
    shown = open_page(rig.url).go()
    found = shown.page.evaluate(
        """async () => {
            const at = (name) => import(new URL(`dashboard/${name}`, location.href).href);
            const { EventParser, backoff } = await at('stream.js');
            const { hexDump } = await at('panels/letters.js');
            const text = ': hi\\n\\nevent: a\\r\\nid: 7\\r\\ndata: {"x":1}\\r\\n\\r\\ndata:two\\ndata: lines\\n\\n';
            const all = [];
            for (let cut = 1; cut < text.length; cut++) {
                const parser = new EventParser();
                all.push(JSON.stringify([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))]));
            }
            return { all: [...new Set(all)], waits: [1, 2, 3, 9].map((one) => backoff(one, () => 0.5)),
                     hex: hexDump('003c7f41') };
        }"""  # noqa: E501 # JavaScript
    )
    (read,) = found["all"]  # each way of cutting reads the same
    assert json.loads(read) == [
        {"event": "a", "data": '{"x":1}', "id": "7"},
        {"event": "message", "data": "two\nlines", "id": None},
    ]
    assert found["waits"] == [1000, 2000, 4000, 20000]
    assert found["hex"] == "0000  00 3c 7f 41" + " " * 36 + "  ·<·A"
