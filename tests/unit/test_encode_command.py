from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from typer.testing import CliRunner

from tidemark.cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = [
    {"item_id": "1", "title": "Alien", "categories": ["Horror"]},
    {"item_id": "2", "title": "Pretty Woman", "categories": ["Romance"]},
]


@pytest.fixture(autouse=True)
def hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    monkeypatch.setenv("COLUMNS", "120")


def run(*words: str, given: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["encode", *words], input=given)
    return done.exit_code, done.output


def test_a_text_its_vector_and_the_nearest_items(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(map(json.dumps, ITEMS)))
    code, said = run("an alien [bold] wrote to ann@example.org", "--items", str(file))
    assert code == 0, said
    assert "an alien [bold] wrote to [email]  (redacted)" in said
    assert "384 numbers, norm 1.000000" in said
    assert "hashing-v1:dim384-seed0" in said
    assert said.index("Alien") < said.index("Pretty Woman")


def test_lines_of_standard_input() -> None:
    code, said = run("--retrieval", "http://127.0.0.1:1", given="one\n\ntwo\n")
    assert code == 0, said
    assert said.count("384 numbers") == 2
    assert said.count("no retrieval service answers") == 2


def test_the_service_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, object]] = []

    def post(client: httpx.Client, url: str, **options: object) -> httpx.Response:
        asked.append((str(client.base_url.join(url)), options["json"]))
        found = {"items": [{"item_id": "7", "title": "Aliens", "score": 0.5}]}
        return httpx.Response(200, json=found, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx.Client, "post", post)
    code, said = run("alien")
    assert code == 0, said
    assert asked == [("http://127.0.0.1:8080/v1/search", {"text": "alien", "k": 5})]
    assert "Aliens" in said
    assert "0.500" in said


def test_without_a_text() -> None:
    code, said = run(given=" \n")
    assert code == 2
    assert "there is no text" in said


def test_items_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("{}")
    done = CliRunner().invoke(app, ["encode", "a", "--items", str(file)])
    assert "item_id" in str(done.exception)
