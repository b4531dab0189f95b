"""Trains a `SentimentHead` on labelled texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from encoders.errors import SentimentError
from encoders.sentiment import SentimentHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from encoders.protocol import TextEncoder

__all__ = ["Trained", "train_head"]

#: Fewer examples of a label than this say nothing about those held out.
_FEWEST = 20
#: Penalties on the weights to choose from, by the accuracy on a part of the training examples.
_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)


class Trained(NamedTuple):
    """A head, and on how many examples it was trained and judged.

    Attributes:
        accuracies: on the held-out examples in each of their forms, in [0, 1].
        chance: what the more frequent label alone would reach.
    """

    head: SentimentHead
    training: int
    held_out: int
    accuracies: tuple[float, ...]
    chance: float


def train_head(
    encoder: TextEncoder,
    texts: Sequence[str],
    positive: Sequence[bool],
    *,
    trained_on: str,
    seed: int = 0,
    others: Sequence[Sequence[str]] = (),
) -> Trained:
    """Fit a logistic regression on four fifths of the texts, and judge it on the rest.

    Args:
        encoder: whose vectors it is for.
        texts: each non-empty.
        positive: their labels.
        others: the same texts in other forms, such as with what they are about: it is trained and
            judged on all forms alike, and those of one text are on one side of the split.
        trained_on: what the texts are, in words.
        seed: of the split.

    Raises:
        SentimentError: there are too few examples of a label.
        EncoderError: a text cannot be encoded.
    """
    labels = np.array(positive, np.float32)
    fewest = int(min(labels.sum(), (1 - labels).sum())) if len(labels) else 0
    if fewest < _FEWEST:
        raise SentimentError(
            f"there are {int(labels.sum())} positive and {int((1 - labels).sum())} negative "
            f"examples; at least {_FEWEST} of each are needed"
        )
    forms = [encoder.encode(form) for form in (texts, *others)]
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out, training = np.split(order, [len(labels) // 5])
    tuning, fitting = np.split(training, [len(training) // 5])

    def of(rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.concatenate([form[rows] for form in forms]), np.tile(labels[rows], len(forms))

    penalty = max(_PENALTIES, key=lambda one: _accuracy(_fit(*of(fitting), one), *of(tuning)))
    fitted = _fit(*of(training), penalty)
    accuracies = tuple(_accuracy(fitted, form[held_out], labels[held_out]) for form in forms)
    head = SentimentHead(*fitted, encoder.encoder_id, min(accuracies), trained_on)
    share = float(labels[held_out].mean())
    return Trained(head, len(training), len(held_out), accuracies, max(share, 1 - share))


def _fit(
    vectors: NDArray[np.float32], labels: NDArray[np.float32], penalty: float
) -> tuple[NDArray[np.float32], float]:
    """Weights and bias of the least mean log loss + penalty·|w|², by L-BFGS."""
    inputs, wanted = torch.from_numpy(vectors), torch.from_numpy(labels)
    weights = torch.zeros(vectors.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    search = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        found = torch.nn.functional.binary_cross_entropy_with_logits(
            inputs @ weights + bias, wanted
        )
        total: torch.Tensor = found + penalty * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach().numpy(), float(bias.detach())


def _accuracy(
    fitted: tuple[NDArray[np.float32], float],
    vectors: NDArray[np.float32],
    labels: NDArray[np.float32],
) -> float:
    weights, bias = fitted
    return float(((vectors @ weights + bias > 0) == (labels > 0.5)).mean())  # noqa: PLR2004 # labels are 0 and 1
