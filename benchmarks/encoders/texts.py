"""Real short texts: films as the worker encodes them, and sentences of reviews."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.streams.traffic import films
from encoders.templates import Templates
from store.interner import Interner
from streams.catalogue import Catalogue
from tidemark.errors import TidemarkError

__all__ = ["film_texts", "review_sentences", "short_texts"]

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "rt-polarity"


def short_texts(count: int = 4_000) -> list[str]:
    """Films first, filled up with sentences."""
    films_first = film_texts()[:count]
    return films_first + review_sentences()[: count - len(films_first)]


def film_texts() -> list[str]:
    """The distinct items of MovieLens 100K in the default template."""
    catalogue = Catalogue(Templates(), Interner())
    return list(dict.fromkeys(catalogue.item_text(film) for film in films()))


def review_sentences() -> list[str]:
    """The distinct sentences of the sentence polarity dataset v1.0 (Pang and Lee, 2005).

    Raises:
        TidemarkError: it is not there.
    """
    folder = Path(os.environ.get("RT_POLARITY") or _BESIDE)
    files = [folder / f"rt-polarity.{label}" for label in ("pos", "neg")]
    if missing := [file for file in files if not file.is_file()]:
        raise TidemarkError(
            f"{missing[0]} is missing: name a folder with the sentence polarity dataset v1.0 "
            "(https://www.cs.cornell.edu/people/pabo/movie-review-data/) as RT_POLARITY"
        )
    lines = [line.strip() for f in files for line in f.read_text(encoding="utf-8").splitlines()]
    # Every second from either file, so that a part of them is of both.
    return list(dict.fromkeys(line for pair in zip(lines[: len(lines) // 2],
                                                   lines[len(lines) // 2 :], strict=False)
                              for line in pair if line))  # fmt: skip
