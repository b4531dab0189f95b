"""The three logs that quality is measured on, and the vectors of their items."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.compose.parts import action_rules
from tidemark.errors import TidemarkError
from tidemark.evaluation.readers import read_log
from tidemark.evaluation.vectors import encode_catalogue
from tidemark.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.common.results import Measurement
    from streams.rules import ActionRules
    from tidemark.evaluation.log import ActionLog

__all__ = ["LOGS", "Measured", "log_called", "measured_log", "of_each_log"]

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
#: By the name that figures are given under.
LOGS = {
    "MovieTweetings": "movietweetings-100k",
    "Online Retail": "online-retail/online_retail.csv.gz",
    "MovieLens": "ml-latest-small",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A log, and what goes with it.

    Attributes:
        log: its actions.
        rules: of the default settings.
        vectors: ``(items, dim) float32`` by the default encoder.
    """

    log: ActionLog
    rules: ActionRules
    vectors: NDArray[np.float32]


@cache
def log_called(name: str) -> ActionLog:
    """One of `LOGS`, read once.

    Raises:
        TidemarkError: it is not there.
    """
    place = Path(os.environ.get("QUALITY_LOGS") or _BESIDE) / LOGS[name]
    if not place.exists():
        raise TidemarkError(
            f"{place} is missing: name a folder with {', '.join(LOGS.values())} as QUALITY_LOGS"
        )
    return read_log(place)


@cache
def measured_log(name: str) -> Measured:
    """One of `LOGS`, read and encoded once.

    Raises:
        TidemarkError: it is not there.
    """
    settings, log = load_settings(), log_called(name)
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        vectors, _ = encode_catalogue(settings, log.catalogue, Path(folder))
    return Measured(log, action_rules(settings), vectors)


def of_each_log(
    outcome: Measurement, measure: Callable[..., Measurement], *, quick: bool
) -> Measurement:
    """What is measured of each log, in `outcome`; as many at once as there are processors.

    That is for what comes out the same each time, however busy the machine is.

    Args:
        outcome: with nothing in it but notes.
        measure: of a module; measures the log that is named.
        quick: passed on.
    """
    with ProcessPoolExecutor(
        min(len(LOGS), os.cpu_count() or 1), multiprocessing.get_context("spawn")
    ) as pool:
        for found in pool.map(partial(measure, quick=quick), LOGS):
            for label, values in found.values.items():
                outcome.values.setdefault(label, []).extend(values)
            outcome.runs += found.runs
            outcome.notes += found.notes
            outcome.bars += found.bars
    return outcome
