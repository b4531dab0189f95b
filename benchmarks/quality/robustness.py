"""What is left of recall@10 where a tenth of the actions is random, or a bot floods an item.

The same moments of the same users, in the log as it is and as it is spoilt, default settings. Where
the random actions are of some users, the others are asked; where they are of everybody, who is
asked has a past of which a tenth is wrong, too. What is random is drawn three times: from draw to
draw the share that is lost varies by some hundredths.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.quality.logs import LOGS, measured_log
from tidemark.evaluation.corruption import corrupted
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
    "bot": "a bot floods one item",
}
_MOST_LOST = 0.05
#: Of the corruption.
_SEEDS = (0, 1, 2)


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module; it is the same every time, so it is measured once."""
    del repetitions
    outcome = Measurement("robustness", "Retrieval from spoilt logs", "recall@10")
    outcome.notes.append(
        f"means of what is random with seeds {_SEEDS}, which give the same figures each time"
    )
    sample, seeds = (200, _SEEDS[:1]) if quick else (6_000, _SEEDS)
    for name in LOGS:
        it = measured_log(name)
        moments = choose(it.log, it.rules, Choice(sample=sample))
        found = _found(it, it.log, moments)
        for said, words in _KINDS.items():
            lost = []
            for seed in seeds if said.startswith("random") else seeds[:1]:
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
            outcome.bars.append(
                Bar.at_most(
                    f"robustness: {name}, {words}, lost",
                    _MOST_LOST,
                    float(np.mean(lost)),
                    "share",
                )
            )
    return outcome


def _recalls(
    it: Measured, moments: Moments, found: NDArray[np.bool_], said: str, seed: int
) -> tuple[float, float]:
    """Recall of the same moments, in the log as it is and spoilt."""
    spoilt, genuine = corrupted(it.log, said, seed)
    # Of each action that was left: where it stands in the spoilt log.
    moved = np.flatnonzero(genuine)
    if said.startswith("random"):
        kept, there = moved, moved
    else:
        kept, there = np.arange(len(it.log)), moved
    place_of = dict(zip(kept.tolist(), there.tolist(), strict=True))
    of_genuine = np.array([place in place_of for place in moments.places.tolist()])
    asked = replace(
        moments,
        **{
            column: getattr(moments, column)[of_genuine]
            for column in ("places", "users", "items", "early", "tail")
        },
    )
    places = np.array([place_of[place] for place in asked.places.tolist()], np.int64)
    then = _found(it, spoilt, replace(asked, places=places))
    return float(found[of_genuine].mean()), float(then.mean())


def _found(it: Measured, log: ActionLog, moments: Moments) -> NDArray[np.bool_]:
    """``(moments,)`` whether the item sought is among the ten first."""
    system = Blended(log, log.strengths(it.rules), it.vectors)
    (replayed,) = replay(log, [system], moments)
    return replayed.ranks <= TOP
