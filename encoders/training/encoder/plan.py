"""How an encoder is trained: everything that is chosen; without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from encoders.errors import TrainingError

__all__ = ["TASKS", "Plan", "Task"]

Task = Literal["next", "rating", "click"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is chosen; see docs/training.md for what was measured.

    Attributes:
        tasks: what is learned: the next item (softmax), ratings (squared error), clicks or
            purchases against items that were not taken (log loss).
        keeps: k of the profiles that stand for a user, each with a weight of its own that is
            learned: one map is to serve them all.
        longest: how many of a user's latest actions make a profile.
        validation: share of the actions, before those held out, that says when to stop.
        held_out: share of the actions, the last, that nothing is trained on.
        epochs: at most.
        patience: epochs without a better one before it stops.
        batch: moments at a time.
        negatives: items that each batch is told apart from, drawn half uniformly, half by how
            often they were taken, and corrected for it.
        rate: of Adam.
        pull: penalty on the squared distance of the map from the identity.
        dropout: share of the base vectors' components left out.
        adversarial: length of the step against the loss on each base vector (Miyato et al.,
            2017); 0 for none.
        half_life: how soon moments count for half, as a share of the training actions; None for
            all alike.
        seed: of all that is drawn.

    Raises:
        TrainingError: a value is out of range.
    """

    tasks: tuple[Task, ...] = ("next",)
    keeps: tuple[float, ...] = (0.7, 0.95)
    longest: int = 48
    validation: float = 0.1
    held_out: float = 0.1
    epochs: int = 20
    patience: int = 2
    batch: int = 1024
    negatives: int = 1024
    rate: float = 5e-4
    pull: float = 1e-2
    dropout: float = 0.0
    adversarial: float = 0.0
    half_life: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.tasks or set(self.tasks) - set(TASKS) or len({*self.tasks}) < len(self.tasks):
            raise TrainingError(
                f"tasks are {', '.join(self.tasks) or 'none'}; expected some of "
                f"{', '.join(TASKS)}, each once"
            )
        if not self.keeps or not all(0 <= k < 1 for k in self.keeps):
            raise TrainingError(f"the profiles' k are {self.keeps}; expected 0 ≤ k < 1")
        for name in ("validation", "held_out"):
            if not 0 < getattr(self, name) < 0.5:  # noqa: PLR2004 # more than half is left to learn
                raise TrainingError(f"{name} is {getattr(self, name)}; expected between 0 and 0.5")
        for name in ("longest", "epochs", "patience", "batch", "negatives"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}; expected at least 1")
        if not 0 <= self.dropout < 1 or self.adversarial < 0 or self.pull < 0 or self.rate <= 0:
            raise TrainingError(
                f"dropout is {self.dropout}, adversarial {self.adversarial}, pull {self.pull}, "
                f"rate {self.rate}; expected 0 ≤ dropout < 1, the next two 0 or more, rate above 0"
            )

    def identity(self) -> dict[str, object]:
        """What decides how it goes, but for how long: one may go on for more epochs."""
        return {name: value for name, value in asdict(self).items() if name != "epochs"}
