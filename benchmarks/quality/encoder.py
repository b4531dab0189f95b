"""What `train encoder` gains, and how long it takes.

Of each log the first half is trained on and judged, as the command does it: its last tenth is held
out, profiles and popularity rank together. Then both encoders, the settings' and the one trained,
which is loaded from its folder, are held against each other on the second half, of which nothing
was trained on: 6,000 moments drawn by a seed, prequentially, paired, with 95% bootstrap intervals
over users, by three rankings:

- *nearest*: what ``rank=nearest`` serves, the profile alone;
- *nearest-and-popularity*: the profile and how popular an item is;
- *tidemark*: the learned blend, which has all else that tells something, too.

Logs are counted on which the interval is above zero. The time is of 100,000 actions of
MovieTweetings, from the log, once it is read, to the folder that is written, texts encoded and
verdict included.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.common.results import Bar, Measurement
from benchmarks.quality.logs import log_called, measured_log, of_each_log
from benchmarks.quality.retrieval import known
from encoders.training.encoder.plan import Plan
from tidemark.evaluation.moments import Choice, choose
from tidemark.evaluation.registry import Kind, entries, recommenders
from tidemark.evaluation.replay import replay
from tidemark.evaluation.report import ALL, make_report
from tidemark.evaluation.vectors import encode_catalogue
from tidemark.settings import load_settings
from tidemark.training.encoder import EncoderTraining

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.quality.logs import Measured
    from tidemark.evaluation.moments import Moments
    from tidemark.evaluation.replay import Replayed

__all__ = ["measure"]

_METRIC = "recall@10"
_RANKINGS = ("nearest", "nearest-and-popularity", "tidemark")
#: Of the three logs, so many are to gain.
_LOGS = 2
_TIMED, _ACTIONS, _SECONDS = "MovieTweetings", 100_000, 300


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module; figures are the same every time, and measured once, but for the time."""
    outcome = Measurement("encoder", "Second half of each log", _METRIC)
    outcome.notes.append("recall once: the same log and seed give the same figures")
    of_each_log(outcome, _measure_log, quick=quick)
    for what in ("tenth held out", *_RANKINGS):
        above = sum(run["gains"][what][1] > 0 for run in outcome.runs)
        outcome.bars.append(
            Bar.at_least(f"encoder: {what}, logs that gain beyond chance", _LOGS, above, "logs")
        )
    seconds = [_seconds(quick=quick) for _ in range(repetitions)]
    outcome.runs.append({"of": f"training on {_ACTIONS:,} actions", "seconds": seconds})
    outcome.bars.append(
        Bar.at_most(
            f"encoder: a projection trained on {_ACTIONS:,} actions",
            _SECONDS, statistics.median(seconds), "s",
        )
    )  # fmt: skip
    return outcome


def _measure_log(name: str, *, quick: bool) -> Measurement:
    torch.set_num_threads(1)  # each log has a process of its own
    it = measured_log(name)
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        report, vectors = _trained(name, Path(folder), quick=quick)
    choice = Choice(sample=200 if quick else 6_000)
    moments = choose(it.log, it.rules, choice)
    replayed = [
        *_replayed(it, it.vectors, moments, "untrained"),
        *_replayed(it, vectors, moments, "trained"),
    ]
    kinds = {one.name: Kind.system.value for one in replayed}
    outcome = Measurement("encoder", name, _METRIC)
    gain = report["gain"]["over_untrained"]
    gains = {"tenth held out": [gain["value"], gain["low"], gain["high"]]}
    for ranking in _RANKINGS:
        judged = make_report(
            it.log, choice, moments, replayed, kinds, _called(ranking, "untrained")
        )
        row = judged.row(_called(ranking, "trained"))
        if row.differences is None:
            raise AssertionError("a row other than the reference has differences to it")
        of_all = row.differences[ALL][_METRIC]
        gains[ranking] = [of_all.value, of_all.low, of_all.high]
        for which in ("untrained", "trained"):
            found = judged.row(_called(ranking, which)).means[ALL][_METRIC].value
            outcome.values[_called(ranking, which)] = [known(found)]
    outcome.runs.append(
        {"log": name, "gains": gains, "recall": {k: v[0] for k, v in outcome.values.items()},
         "promoted": report["promoted"], "held out": report["recall_at_10"],
         "over_centred": report["gain"]["over_centred"]}
    )  # fmt: skip
    return outcome


def _trained(name: str, folder: Path, *, quick: bool) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """The report, and the catalogue's vectors by the encoder that was written."""
    settings = load_settings()
    plan = Plan(epochs=1) if quick else Plan()
    report = EncoderTraining(log_called(name), settings, plan, folder, share=0.5).run()
    chosen = settings.encoder.model_copy(update={"model": str(folder)})
    by_it = settings.model_copy(update={"encoder": chosen})
    vectors, encoder_id = encode_catalogue(by_it, log_called(name).catalogue)
    if encoder_id != report["encoder_id"]:
        raise AssertionError(f"the folder's encoder is {encoder_id}, not the one trained")
    return report, vectors


def _replayed(
    it: Measured, vectors: NDArray[np.float32], moments: Moments, which: str
) -> list[Replayed]:
    asked = recommenders(entries(it.log, it.rules, lambda: vectors), _RANKINGS)
    return [replace(one, name=_called(one.name, which)) for one in replay(it.log, asked, moments)]


def _called(ranking: str, which: str) -> str:
    return f"{ranking}, {which}"


def _seconds(*, quick: bool) -> float:
    """By the clock, with as many threads as there are processors."""
    log = log_called(_TIMED)
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
        begun = time.perf_counter()
        EncoderTraining(
            log, load_settings(), Plan(epochs=1) if quick else Plan(), Path(folder),
            share=_ACTIONS / len(log),
        ).run()  # fmt: skip
        return time.perf_counter() - begun
