"""recall@10 of what is served, prequentially, beside every baseline on the same moments.

The second half of each log, 6,000 moments drawn by a seed, default settings. Differences are
paired, with 95% bootstrap intervals over users. What text is worth is the same system without it.
SASRec and GRU4Rec, which are trained anew each day of the log, are shown; no bar is on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.common.results import Bar, Measurement
from benchmarks.quality.logs import measured_log, of_each_log
from tidemark.errors import TidemarkError
from tidemark.evaluation.moments import Choice, choose
from tidemark.evaluation.registry import Kind, Part, entries, recommenders
from tidemark.evaluation.replay import replay
from tidemark.evaluation.report import ALL, make_report

if TYPE_CHECKING:
    from tidemark.evaluation.report import Report

__all__ = ["known", "measure"]

_ASKED = {"MovieTweetings": 0.245, "Online Retail": 0.33, "MovieLens": 0.135}
_METRIC = "recall@10"
_TEXT_SHARE = 0.05


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module; it is the same every time, so it is measured once."""
    del repetitions
    outcome = Measurement("retrieval", "Retrieval, second half of each log", _METRIC)
    outcome.notes.append("once: the same log and seed give the same figures")
    return of_each_log(outcome, _measure_log, quick=quick)


def _measure_log(name: str, *, quick: bool) -> Measurement:
    outcome = Measurement("retrieval", name, _METRIC)
    report = _evaluate(name, quick=quick)
    outcome.runs.append({"log": name, **_figures(report)})
    for row in report.rows:
        outcome.values[row.name] = [known(row.means[ALL][_METRIC].value)]
    _judge(outcome, name, report)
    return outcome


def _evaluate(name: str, *, quick: bool) -> Report:
    it = measured_log(name)
    choice = Choice(sample=200 if quick else 6_000)
    moments = choose(it.log, it.rules, choice)
    listed = entries(it.log, it.rules, lambda: it.vectors)
    wanted = [entry.name for entry in listed if entry.part in {Part.always, Part.trained}]
    torch.set_num_threads(1)  # each log has a process of its own
    asked = recommenders(listed, [*wanted, "without-text"])
    replayed = replay(it.log, asked, moments)
    return make_report(
        it.log, choice, moments, replayed, {one.name: one.kind.value for one in listed}, "tidemark"
    )


def _figures(report: Report) -> dict[str, object]:
    found: dict[str, object] = {"moments": report.moments[ALL], "users": report.users_scored}
    for row in report.rows:
        estimate = row.means[ALL][_METRIC]
        found[row.name] = [estimate.value, estimate.low, estimate.high]
        if row.differences is not None:
            difference = row.differences[ALL][_METRIC]
            found[f"{row.name} less tidemark"] = [
                difference.value, difference.low, difference.high,
            ]  # fmt: skip
    return found


def known(figure: float | None) -> float:
    """A figure of all moments, of which there are some."""
    if figure is None:
        raise TidemarkError("an evaluation of no moments has no figures")
    return figure


def _judge(outcome: Measurement, name: str, report: Report) -> None:
    ours = known(report.row("tidemark").means[ALL][_METRIC].value)
    untrained = [row for row in report.rows if row.kind == Kind.untrained.value]
    # of the difference to each, its lowest plausible value; the least of these
    leads = {
        row.name: -known(row.differences[ALL][_METRIC].high) for row in untrained if row.differences
    }
    nearest = min(leads, key=lambda one: leads[one])
    without = known(report.row("without-text").means[ALL][_METRIC].value)
    outcome.bars += [
        Bar.at_least(f"retrieval: {name}, recall@10", _ASKED[name], ours, ""),
        Bar.at_least(
            f"retrieval: {name}, low end of the lead over each untrained one ({nearest})",
            0.0, leads[nearest], "",
        ),
        Bar.at_least(
            f"retrieval: {name}, lost without text", _TEXT_SHARE, (ours - without) / ours, "share"
        ),
    ]  # fmt: skip
