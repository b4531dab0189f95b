"""A trained profile function: a user's query vector by a GRU over the latest actions, in NumPy.

The net is `encoders.training.sequence.profile_net.ProfileNet`, which says where it is from; this is
its forward pass, which serving does without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.blas import one_blas_thread
from store.profile import contribution_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from store.profile import Contribution

__all__ = ["SequenceProfile", "UserSequence", "sequence_of"]

#: Below this length a vector has no direction; that of PyTorch's `normalize`.
_TINY = 1e-12


class UserSequence(NamedTuple):
    """A user's latest actions on items that are held, oldest first; at least one.

    Attributes:
        vectors: ``(t, dim) float32`` of the items.
        strengths: ``(t,) float32`` s.
        keeps: ``(t,) float32`` k.
        weights: ``(t,) float32`` in the fold (`contribution_weights`, of all actions).
    """

    vectors: NDArray[np.float32]
    strengths: NDArray[np.float32]
    keeps: NDArray[np.float32]
    weights: NDArray[np.float32]


def sequence_of(
    contributions: Sequence[Contribution],
    vectors: Mapping[str, NDArray[np.float32]],
) -> UserSequence | None:
    """What a profile says of the user's last actions; None where no item of theirs is held.

    Args:
        contributions: those that count, oldest first.
        vectors: ``(dim,) float32`` by item.
    """
    weights = contribution_weights(contributions)
    held = [at for at, one in enumerate(contributions) if one.item_id in vectors]
    if not held:
        return None
    return UserSequence(
        np.stack([vectors[contributions[at].item_id or ""] for at in held]),
        np.array([contributions[at].strength for at in held], np.float32),
        np.array([contributions[at].k for at in held], np.float32),
        np.array([weights[at] for at in held], np.float32),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceProfile:
    """The trained function of one encoder's vectors and one policy's k.

    Attributes:
        model_id: name and fingerprint of the weights.
        encoder_id: whose vectors it takes and gives.
        policy: whose k it was trained with, `store.policies.Policy.identity`.
        length: of the latest actions so many count.
        input_weights: ``(3h, dim + 2) float32`` of the GRU, for r, z and n, as in PyTorch.
        state_weights: ``(3h, h)``.
        input_bias, state_bias: ``(3h,)``.
        out_weights: ``(dim, h)``.
        out_bias: ``(dim,)``.
    """

    model_id: str
    encoder_id: str
    policy: str
    length: int
    input_weights: NDArray[np.float32]
    state_weights: NDArray[np.float32]
    input_bias: NDArray[np.float32]
    state_bias: NDArray[np.float32]
    out_weights: NDArray[np.float32]
    out_bias: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return len(self.out_bias)

    def queries(self, users: Sequence[UserSequence]) -> NDArray[np.float32]:
        """``(n, dim) float32``, unit vectors, one for each user, by as many steps for all."""
        lengths = np.array([len(one.strengths) for one in users])
        inputs = np.zeros((len(users), lengths.max(), self.dim + 2), np.float32)
        folded = np.empty((len(users), self.dim), np.float32)
        for row, one in enumerate(users):
            inputs[row, : lengths[row], :-2] = one.vectors
            inputs[row, : lengths[row], -2] = one.strengths
            inputs[row, : lengths[row], -1] = one.keeps
        with one_blas_thread():
            for row, one in enumerate(users):
                folded[row] = one.weights @ one.vectors
            added = self._states(inputs, lengths) @ self.out_weights.T + self.out_bias
        return _normed(_normed(folded) + added)

    def _states(
        self, inputs: NDArray[np.float32], lengths: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Each user's state after the user's last action, ``(n, h)``."""
        rows = inputs.reshape(-1, inputs.shape[2])  # one product, not one for each user
        gates = (rows @ self.input_weights.T).reshape(*inputs.shape[:2], -1) + self.input_bias
        hidden = self.state_weights.shape[1]
        state = np.zeros((len(inputs), hidden), np.float32)
        for step in range(inputs.shape[1]):
            own = state @ self.state_weights.T + self.state_bias
            now = gates[:, step]
            both = _sigmoid(now[:, : 2 * hidden] + own[:, : 2 * hidden])
            reset, keep = both[:, :hidden], both[:, hidden:]
            new = np.tanh(now[:, 2 * hidden :] + reset * own[:, 2 * hidden :])
            after = (1 - keep) * new + keep * state
            state = np.where((step < lengths)[:, np.newaxis], after, state)
        return state


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # By tanh, which does not overflow.
    found: NDArray[np.float32] = 0.5 * (1 + np.tanh(0.5 * values))
    return found


def _normed(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[np.float32] = rows / np.maximum(norms, _TINY)
    return found
