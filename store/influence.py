"""What each kind of action foretells: weights of the policy ``influence``, learned from a log.

    w = actions[kind] · ratings[level] · feelings[level] · (repeated, of an item seen before)

A factor is 1 where the action has nothing of it. A file of them is JSON that people may read; its
version is a hash of what it says, and goes with every profile folded by it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from store.atomic_file import replacing
from store.errors import PolicyError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FEELING_LEVELS", "RATING_LEVELS", "Influence", "load_influence", "save_influence"]

#: A rating's place on its scale, 0 to 1, is rounded to one of so many levels: scales of 5 stars, of
#: half stars and of 10 points each have a level for every rating.
RATING_LEVELS = 10
#: How words feel, −1 to 1: bad, neither, good.
FEELING_LEVELS = 3
_FORMAT = 1
_VERSION_DIGITS = 12


class Influence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of the policy ``influence``. Weights and factors are above 0.

    Attributes:
        half_life_seconds: of the decay, learned with the weights.
        actions: weight by kind of action; other kinds have the weight of their settings, with which
            these share their scale.
        ratings: factors of `RATING_LEVELS` levels, the worst first.
        feelings: factors of `FEELING_LEVELS` levels, the worst first.
        repeated: factor of an action on an item that is among those the user has recently seen.
        encoder: whose vectors it was learned with; it may be used with another's.
        trained_on: for people: which log.
        format: of the file.
    """

    half_life_seconds: float
    actions: dict[str, float]
    ratings: tuple[float, ...] = (1.0,) * RATING_LEVELS
    feelings: tuple[float, ...] = (1.0,) * FEELING_LEVELS
    repeated: float = 1.0
    encoder: str = ""
    trained_on: str = ""
    format: int = _FORMAT

    def __post_init__(self) -> None:
        """Check the lengths and signs. Raises `PolicyError`."""
        for name, expected in (("ratings", RATING_LEVELS), ("feelings", FEELING_LEVELS)):
            if len(getattr(self, name)) != expected:
                raise PolicyError(
                    f"an influence has {len(getattr(self, name))} {name}; expected {expected}"
                )
        factors = {
            "half_life_seconds": self.half_life_seconds,
            "repeated": self.repeated,
            **{f"actions.{name}": one for name, one in self.actions.items()},
            **{f"ratings[{at}]": one for at, one in enumerate(self.ratings)},
            **{f"feelings[{at}]": one for at, one in enumerate(self.feelings)},
        }
        for name, one in factors.items():
            if not (np.isfinite(one) and one > 0):
                raise PolicyError(f"an influence has {name} = {one}; expected above 0")

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of a hash of the weights and the half-life."""
        return _hash(
            {
                "half_life_seconds": float(self.half_life_seconds),
                "actions": {name: float(one) for name, one in self.actions.items()},
                "ratings": [float(one) for one in self.ratings],
                "feelings": [float(one) for one in self.feelings],
                "repeated": float(self.repeated),
            }
        )

    def of_ratings(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors of ratings.

        Args:
            shares: ``(n,)`` places on the scale, 0 the worst to 1 the best; NaN gives 1.
        """
        known = ~np.isnan(shares)
        levels = np.where(known, rating_levels(np.where(known, shares, 0.0)), 0)
        return np.where(known, np.array(self.ratings)[levels], 1.0)

    def of_feelings(self, felt: NDArray[np.float32]) -> NDArray[np.float64]:
        """Factors of how words feel, ``(n,)`` in [−1, 1]."""
        factors: NDArray[np.float64] = np.array(self.feelings)[feeling_levels(felt)]
        return factors


def rating_levels(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Levels of places on a scale of ratings, ``(n,)`` in [0, 1]."""
    levels: NDArray[np.int64] = np.rint(np.clip(shares, 0, 1) * (RATING_LEVELS - 1)).astype(int)
    return levels


def feeling_levels(felt: NDArray[np.float32]) -> NDArray[np.int64]:
    """Levels of feelings, ``(n,)`` in [−1, 1]: thirds of that range."""
    share = (np.clip(felt, -1, 1) + 1) / 2
    levels: NDArray[np.int64] = np.minimum(share * FEELING_LEVELS, FEELING_LEVELS - 1).astype(int)
    return levels


def save_influence(model: Influence, path: Path) -> None:
    """Write it, complete or not at all. Raises `OSError`."""
    said = {"version": model.version, **msgspec.to_builtins(model)}
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(said), indent=2) + b"\n")


def load_influence(path: Path) -> Influence:
    """Read it.

    Raises:
        PolicyError: it cannot be read, is of another format, or was changed by hand.
    """
    try:
        found = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise PolicyError(
            f"the influence {path} cannot be read: {error.strerror}; make one with: "
            "tidemark train influence"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PolicyError(f"the influence {path} is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise PolicyError(
            f"{path} is no influence of format {_FORMAT}; expected one made by: "
            "tidemark train influence"
        )
    version = found.pop("version", None)
    try:
        model = msgspec.convert(found, Influence)
    except msgspec.ValidationError as error:
        raise PolicyError(f"the influence {path} is wrong: {error}") from error
    if version != model.version:
        raise PolicyError(
            f"the influence {path} says that it is {version}, and its weights are those of "
            f"{model.version}: it was changed after it was made. Train it again; or, where the "
            f'change is meant, write "version": "{model.version}"'
        )
    return model


def _hash(said: Any) -> str:
    encoded = msgspec.json.encode(said, order="sorted")
    return hashlib.sha256(encoded).hexdigest()[:_VERSION_DIGITS]
