"""What is left of recall@10 where a tenth of the actions is random, or a bot floods an item.

The same moments of the same users, in the log as it is and as it is spoilt, default settings. Where
the random actions are of some users, the others are asked; where they are of everybody, who is
asked has a past of which a tenth is wrong, too. Beside users who act at random stands what is lost
where they do nothing: that is lost of what they told, the rest to noise. What is random is drawn
anew several times: from draw to draw the share that is lost varies by some hundredths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.quality.logs import measured_log, of_each_log
from tidemark.evaluation.corruption import corrupted, moved
from tidemark.evaluation.moments import Choice, choose
from tidemark.evaluation.replay import TOP, replay
from tidemark.evaluation.system import Blended

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.quality.logs import Measured
    from tidemark.evaluation.log import ActionLog
    from tidemark.evaluation.moments import Moments

__all__ = ["measure"]

_KINDS = {
    "random:0.1": "a tenth of everybody's actions random",
    "random-users:0.1": "users with a tenth of the actions act at random",
    "without-users:0.1": "the same users are missing",
    "bot": "a bot floods one item",
}
#: No noise, and so no bar.
_MISSING = "without-users:0.1"
_MOST_LOST = 0.05
#: Of the corruption.
_SEEDS = {
    "random:0.1": range(3), "random-users:0.1": range(4), "without-users:0.1": range(4),
    "bot": range(1),
}  # fmt: skip


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module; it is the same every time, so it is measured once."""
    del repetitions
    outcome = Measurement("robustness", "Retrieval from spoilt logs", "recall@10")
    outcome.notes.append("means of seeds from 0 on, which give the same figures each time")
    return of_each_log(outcome, _measure_log, quick=quick)


def _measure_log(name: str, *, quick: bool) -> Measurement:
    outcome = Measurement("robustness", name, "recall@10")
    it = measured_log(name)
    moments = choose(it.log, it.rules, Choice(sample=200 if quick else 6_000))
    found = _found(it, it.log, moments)
    for said, words in _KINDS.items():
        lost = []
        for seed in range(1) if quick else _SEEDS[said]:
            clean, spoilt = _recalls(it, moments, found, said, seed)
            outcome.values.setdefault("as it is", []).append(clean)
            outcome.values.setdefault(words, []).append(spoilt)
            outcome.runs.append(
                {
                    "log": name,
                    "spoilt by": said,
                    "seed": seed,
                    "as it is": clean,
                    "then": spoilt,
                }
            )
            lost.append((clean - spoilt) / clean)
        mean = float(np.mean(lost))
        if said == _MISSING:
            outcome.notes.append(f"{name}: where {words}, {mean:.3f} is lost")
            continue
        outcome.bars.append(
            Bar.at_most(f"robustness: {name}, {words}, lost", _MOST_LOST, mean, "share")
        )
    return outcome


def _recalls(
    it: Measured, moments: Moments, found: NDArray[np.bool_], said: str, seed: int
) -> tuple[float, float]:
    """Recall of the same moments, in the log as it is and spoilt."""
    spoilt, origin = corrupted(it.log, said, seed)
    asked, left = moved(moments, origin)
    return float(found[left].mean()), float(_found(it, spoilt, asked).mean())


def _found(it: Measured, log: ActionLog, moments: Moments) -> NDArray[np.bool_]:
    """``(moments,)`` whether the item sought is among the ten first."""
    system = Blended(log, log.strengths(it.rules), it.vectors)
    (replayed,) = replay(log, [system], moments)
    return replayed.ranks <= TOP
