"""The dashboard of a system as a person starts it: a broker, a worker, the retrieval service."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_rig import OpenPage
from kafka import KafkaProducer
from system_helpers import BASE_ENV, wait_until

from streams.processes import Child
from streams.publisher import ActionPublisher, ItemPublisher
from streams.schema import Item

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

FILMS = [
    Item(item_id=f"f{at}", title=f"Film {at}", categories=(("Horror", "Drama")[at % 2],))
    for at in range(12)
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of the service and of the broker."""
    folder = tmp_path_factory.mktemp("up")
    environment = {**BASE_ENV, "COLUMNS": "200", "KAFKA_HOME": ""}
    command = [sys.executable, "-m", "tidemark", "up", "--port", "0", "--state", str(folder)]
    with Child("up", command, folder / "up.log", env=environment) as parent:
        wait_until(lambda: "Ctrl-C stops." in parent.log.read_text(), check=parent.check)
        said = parent.log.read_text()
        service = re.search(r"retrieval +(http://[\d.:]+)/docs", said)
        broker = re.search(r"broker +([\d.:]+)", said)
        assert service is not None
        assert broker is not None
        yield service[1], broker[1]
        assert parent.stop() == 0


def test_what_is_published_is_seen(system: tuple[str, str], open_page: OpenPage) -> None:
    url, broker = system
    shown = open_page(url).go().live()
    shown.has("up", ".panel table")
    with ItemPublisher(broker) as items:
        for film in FILMS:
            items.publish(film)
    with ActionPublisher(broker) as actions:
        for at in range(600):
            actions.publish(f"user {at % 9}", "like", item_id=f"f{at * 7 % 12}")
    producer = KafkaProducer(bootstrap_servers=broker)
    producer.send("actions", key=b"ann", value=b"<script>alert(1)</script>").get(timeout=30)
    producer.close()
    # live, without a look at another page: throughput, freshness, profiles, the letter
    shown.waits_for(
        "/[1-9]/.test([...document.querySelectorAll('.legend tr')]"
        ".find(one => one.textContent.startsWith('applied'))?.children[2].textContent)"
    )
    shown.waits_for("/of [1-9]\\d* within 1 s/.test(document.querySelector('.budget').textContent)")
    shown.has("malformed", ".letters")
    shown.page.locator(".letters summary").first.click()
    shown.has("<script>alert(1)</script>", ".letters")
    shown.keep("system-overview")
    shown.go("/users").page.get_by_role("link", name="user 3", exact=True).click()
    shown.has("What it is made of")
    shown.has("Film", ".weights")
    shown.keep("system-user")
    shown.go("/map").has("9 users and 12 items")
    shown.is_accessible()
    shown.is_clean()


def test_it_stops_while_someone_watches(tmp_path: Path, open_page: OpenPage) -> None:
    environment = {**BASE_ENV, "COLUMNS": "200", "KAFKA_HOME": ""}
    command = [sys.executable, "-m", "tidemark", "up", "--port", "0", "--state", str(tmp_path)]
    with Child("up", command, tmp_path / "up.log", env=environment) as parent:
        wait_until(lambda: "Ctrl-C stops." in parent.log.read_text(), check=parent.check)
        service = re.search(r"retrieval +(http://[\d.:]+)/docs", parent.log.read_text())
        assert service is not None
        shown = open_page(service[1]).go().live()
        assert parent.stop() == 0
        shown.page.locator('#live[data-state="lost"]').wait_for()
    log = (tmp_path / "retrieval.log").read_text()
    assert "timeout graceful shutdown exceeded" not in log
    assert "Traceback" not in log
