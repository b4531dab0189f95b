"""What is left of recall@10 where a tenth of the actions is random, or a bot floods an item.

The same moments of the same users, in the log as it is and as it is spoilt, default settings. Where
the random actions are of some users, the others are asked; where they are of everybody, who is
asked has a past of which a tenth is wrong, too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.common.results import Bar, Measurement
from benchmarks.quality.logs import LOGS, measured_log
from tidemark.evaluation.corruption import corrupted
from tidemark.evaluation.moments import Choice, choose
from tidemark.evaluation.replay import TOP, replay
from tidemark.evaluation.system import Blended

__all__ = ["measure"]

_KINDS = {
    "random:0.1": "a tenth of everybody's actions random",
    "random-users:0.1": "users with a tenth of the actions act at random",
    "bot": "a bot floods one item",
}
_MOST_LOST = 0.05


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module; it is the same every time, so it is measured once."""
    del repetitions
    outcome = Measurement("robustness", "Retrieval from spoilt logs", "recall@10")
    outcome.notes.append("once: the same log and seed give the same figures")
    for name in LOGS:
        for said, words in _KINDS.items():
            clean, spoilt = _recalls(name, said, 200 if quick else 6_000)
            outcome.values.setdefault("as it is", []).append(clean)
            outcome.values.setdefault(words, []).append(spoilt)
            outcome.runs.append({"log": name, "spoilt by": said, "as it is": clean, "then": spoilt})
            outcome.bars.append(
                Bar.at_most(
                    f"robustness: {name}, {words}, lost",
                    _MOST_LOST,
                    (clean - spoilt) / clean,
                    "share",
                )
            )
    return outcome


def _recalls(name: str, said: str, sample: int) -> tuple[float, float]:
    it = measured_log(name)
    spoilt, genuine = corrupted(it.log, said, 0)
    # Of each action that was left: where it stands in the spoilt log.
    moved = np.flatnonzero(genuine)
    if said.startswith("random"):
        kept, there = moved, moved
    else:
        kept, there = np.arange(len(it.log)), moved
    place_of = dict(zip(kept.tolist(), there.tolist(), strict=True))
    moments = choose(it.log, it.rules, Choice(sample=sample))
    of_genuine = np.array([place in place_of for place in moments.places.tolist()])
    moments = replace(
        moments,
        **{
            column: getattr(moments, column)[of_genuine]
            for column in ("places", "users", "items", "early", "tail")
        },
    )
    places = np.array([place_of[place] for place in moments.places.tolist()], np.int64)
    found = []
    for log, asked in ((it.log, moments), (spoilt, replace(moments, places=places))):
        system = Blended(log, log.strengths(it.rules), it.vectors)
        (replayed,) = replay(log, [system], asked)
        found.append(float((replayed.ranks <= TOP).mean()))
    return found[0], found[1]
