"""Fits how much each property of an action foretells what a user chooses next.

A choice is a softmax over candidates of ``t·p·q + b·popularities``, with p the profile that the
policy ``decay`` would have: ``p = Σ w_a d_a s_a v_a / Σ w_a d_a``, d of one half-life for all, w
the product of a factor for each property of the action. What is learned are the logarithms of the
factors and of t, and b; the half-life is given, since the loss has several valleys along it.
Sampled candidates are corrected by −log of their chance to be drawn (Bengio & Senécal 2008), so
that the softmax is that of the whole catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Examples", "InfluenceFit", "bootstrap", "fit", "losses"]

#: A factor is held to 1 as if by this spread of its logarithm: without data it stays there.
_PRIOR = 1.0
_STEPS, _PER_STEP, _PATIENCE = 40, 5, 3
#: What is no factor: log t, and two of popularity.
_FIRST = 3


@dataclass(frozen=True, slots=True)
class Examples:
    """m choices of c candidates, the first of which was taken, after h actions.

    Attributes:
        cosines: ``(m, h, c) float32``, 0 where there is no action.
        ages: ``(m, h) float32`` seconds.
        strengths: ``(m, h) float32`` s; 0 where there is no action.
        weights: ``(m, h) float32`` what factors multiply; 0 where there is no action.
        features: ``(m, h, groups) int64`` numbers of properties; that of none is the highest.
        corrections: ``(m, c) float32``.
        popularity: ``(m, c, 2) float32``.
        users: ``(m,)`` whose choices they are.
    """

    cosines: NDArray[np.float32]
    ages: NDArray[np.float32]
    strengths: NDArray[np.float32]
    weights: NDArray[np.float32]
    features: NDArray[np.int64]
    corrections: NDArray[np.float32]
    popularity: NDArray[np.float32]
    users: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class InfluenceFit:
    """What was learned.

    Attributes:
        factors: ``(features,)`` of w.
        half_life_seconds: of d.
        sharpness: t.
        popularity: b.
        training: loss by step, nats a choice, the prior included.
        validation: loss by step; the model is that of the lowest.
    """

    factors: NDArray[np.float64]
    half_life_seconds: float
    sharpness: float
    popularity: tuple[float, float]
    training: tuple[float, ...]
    validation: tuple[float, ...]


class _Data:
    def __init__(self, given: Examples, half_life_seconds: float) -> None:
        self.cosines = torch.from_numpy(given.cosines)
        # From the latest on: a profile is no smaller for being old.
        ages = np.where(given.weights > 0, given.ages - given.ages[:, -1:], 0)
        decayed = given.weights * np.exp2(-ages / half_life_seconds)
        self.decayed = torch.from_numpy(decayed.astype(np.float32))
        self.strengths = torch.from_numpy(given.strengths)
        self.features = torch.from_numpy(given.features)
        self.corrections = torch.from_numpy(given.corrections)
        self.popularity = torch.from_numpy(given.popularity)

    def losses(self, parameters: torch.Tensor) -> torch.Tensor:
        """Nats of each choice, ``(m,)``."""
        logs = torch.cat([parameters[_FIRST:], torch.zeros(1)])
        weights = self.decayed * torch.exp(logs[self.features].sum(-1))
        mass = weights.sum(1, keepdim=True).clamp_min(1e-12)
        p = (weights * self.strengths / mass)[:, None, :] @ self.cosines
        scores = torch.exp(parameters[0]) * p[:, 0] + self.popularity @ parameters[1:_FIRST]
        scores = scores + self.corrections
        return torch.logsumexp(scores, 1) - scores[:, 0]


def fit(
    training: Examples,
    validation: Examples,
    features: int,
    *,
    half_life_seconds: float,
    on_step: Callable[[int, float, float], None] = lambda *_: None,
) -> InfluenceFit:
    """Fit by L-BFGS, until the loss on the validation set has not fallen for three steps.

    Args:
        training: to fit.
        validation: to stop by.
        features: how many there are; 0 fits t and b alone.
        half_life_seconds: of the decay.
        on_step: told the step's number and both losses.
    """
    here, there = (_Data(one, half_life_seconds) for one in (training, validation))
    parameters = _begin(features)
    optimiser = torch.optim.LBFGS([parameters], max_iter=_PER_STEP, line_search_fn="strong_wolfe")
    weights = torch.ones(len(training.users))
    best, told = parameters.detach().clone(), ([0.0] * 0, [0.0] * 0)
    for step in range(_STEPS):
        before = _loss(here, parameters, weights).item()
        _step(optimiser, here, parameters, weights)
        with torch.no_grad():
            told[0].append(_loss(here, parameters, weights).item())
            told[1].append(float(there.losses(parameters).mean()))
        on_step(step + 1, told[0][-1], told[1][-1])
        if told[1][-1] <= min(told[1]):
            best = parameters.detach().clone()
        stale = len(told[1]) - 1 - int(np.argmin(told[1]))
        if stale >= _PATIENCE or before - told[0][-1] < 1e-7:  # noqa: PLR2004 # nothing left
            break
    return _told(best, half_life_seconds, *map(tuple, told))


def bootstrap(
    training: Examples, fitted: InfluenceFit, *, rounds: int, seed: int
) -> NDArray[np.float64]:
    """Factors fitted to users drawn anew, ``(rounds, features)``.

    Users are drawn, not choices: a user's choices go together. Each fit begins where `fit` began
    and stops after as many iterations as the one that it kept: stopping early holds factors near 1,
    so that fits which went on would have other factors, and intervals that do not hold these.
    """
    draw = np.random.default_rng(seed)
    data = _Data(training, fitted.half_life_seconds)
    steps = _PER_STEP * _kept(fitted.validation)
    users, number = np.unique(training.users, return_inverse=True)
    found = []
    for _ in range(rounds):
        times = np.bincount(draw.integers(0, len(users), len(users)), minlength=len(users))
        weights = torch.from_numpy(times[number].astype(np.float32))
        parameters = _begin(len(fitted.factors))
        optimiser = torch.optim.LBFGS([parameters], max_iter=steps, line_search_fn="strong_wolfe")
        _step(optimiser, data, parameters, weights)
        found.append(np.exp(parameters.detach().numpy()[_FIRST:].astype(np.float64)))
    return np.array(found).reshape(rounds, len(fitted.factors))


def _kept(validation: Sequence[float]) -> int:
    """The number, from 1, of the step that `fit` kept: the last of the least losses."""
    return max(at for at, loss in enumerate(validation, 1) if loss == min(validation))


def losses(examples: Examples, fitted: InfluenceFit) -> NDArray[np.float64]:
    """Nats of each choice, ``(m,)``."""
    with torch.no_grad():
        found = _Data(examples, fitted.half_life_seconds).losses(
            _begin(len(fitted.factors), fitted)
        )
    return found.numpy().astype(np.float64)


def _begin(features: int, fitted: InfluenceFit | None = None) -> torch.Tensor:
    start = np.zeros(_FIRST + features, np.float32)
    start[:_FIRST] = np.log(10.0), 0.5, 0.5
    if fitted is not None:
        start[:_FIRST] = np.log(fitted.sharpness), *fitted.popularity
        start[_FIRST:] = np.log(fitted.factors)
    return torch.from_numpy(start).requires_grad_()


def _loss(data: _Data, parameters: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    prior = (parameters[_FIRST:] ** 2).sum() / (2 * _PRIOR**2)
    return ((data.losses(parameters) * weights).sum() + prior) / weights.sum()


def _step(
    optimiser: torch.optim.LBFGS, data: _Data, parameters: torch.Tensor, weights: torch.Tensor
) -> None:
    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = _loss(data, parameters, weights)
        loss.backward()  # type: ignore[no-untyped-call] # of torch
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call] # of torch


def _told(
    parameters: torch.Tensor,
    half_life_seconds: float,
    training: tuple[float, ...],
    validation: tuple[float, ...],
) -> InfluenceFit:
    found = parameters.numpy().astype(np.float64)
    return InfluenceFit(
        factors=np.exp(found[_FIRST:]),
        half_life_seconds=half_life_seconds,
        sharpness=float(np.exp(found[0])),
        popularity=(float(found[1]), float(found[2])),
        training=training,
        validation=validation,
    )
