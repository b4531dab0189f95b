"""The transformer itself learns, by low-rank updates of its weights (LoRA; Hu et al., 2021)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from encoders.errors import TrainingError
from encoders.models.folder import read_folder
from encoders.models.loading import load_model
from encoders.models.pooling import build_heads, pool
from encoders.models.tokenising import Tokenising

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["LoraVectors"]

logger = logging.getLogger(__name__)

#: Tokens that are computed together when all texts are encoded.
_TOKENS = 4_096
#: The update counts ``_ALPHA / rank`` times.
_ALPHA = 16


class LoraVectors:
    """Vectors of a transformer that is trained with the map put on them.

    A step computes only some of its texts anew, with gradients: the items that came next, and
    others drawn at random; the rest are as they were when the epoch began. So a step costs the
    same whatever the profiles are made of, and the transformer still sees both sides.

    Args:
        folder: of the model.
        texts: the table.
        rank: of the updates.
        fresh: how many texts a step computes anew.
        leave_out: share of each text's tokens that is left out by chance.
        rate: of Adam.
        seed: of the updates' first values.
        prompt: put before each text; the model's own default where None.
        prompt_name: or one of the model's own.
        max_tokens: texts are cut to so many.

    Raises:
        ModelNotFoundError, ModelUnsupportedError: it is no model that can be loaded.
        TrainingError: peft is not installed, or does not know the architecture.
    """

    def __init__(
        self,
        folder: Path,
        texts: Sequence[str],
        *,
        rank: int = 8,
        fresh: int = 128,
        leave_out: float = 0.0,
        rate: float = 2e-4,
        seed: int = 0,
        prompt: str | None = None,
        prompt_name: str | None = None,
        max_tokens: int | None = None,
    ) -> None:
        try:
            from peft import LoraConfig, get_peft_model  # noqa: PLC0415 # of the extra `learn`
        except ImportError as error:
            raise TrainingError(
                "LoRA is done by peft, which is not installed: pip install 'tidemark[learn]'"
            ) from error
        self.rate = rate
        self._fresh, self._leave_out = fresh, leave_out
        found = read_folder(folder)
        tokenizer, model = load_model(found.path, torch.float32)
        tokenising = Tokenising(
            tokenizer,
            model,
            found,
            prompt=found.prompt(prompt_name) if prompt is None else prompt,
            max_tokens=max_tokens,
        )
        self._pooling, self._prompt_tokens = found.pooling, tokenising.prompt_tokens
        self._special = set(tokenizer.all_special_ids)
        self._ids = tokenising.ids(texts)
        width = model.config.hidden_size * len(found.pooling.modes)
        self._heads, self.dim = build_heads(found.heads, width)
        self._heads.requires_grad_(requires_grad=False)
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=_ALPHA, target_modules="all-linear")
        try:
            self._model: Any = get_peft_model(model, config)
        except ValueError as error:
            raise TrainingError(
                f"the model in {folder} has no layers that peft can update: {error}"
            ) from error
        self._named = {
            name: one for name, one in self._model.named_parameters() if one.requires_grad
        }
        self._table: torch.Tensor | None = None
        self._kept = torch.empty(0)  # the last table: of an epoch, what is not computed anew

    def parameters(self) -> Iterable[torch.nn.Parameter]:
        """Of the low-rank updates."""
        return self._named.values()

    def table(self) -> torch.Tensor:
        """All texts, computed anew where a step was made since."""
        if self._table is None:
            order = sorted(range(len(self._ids)), key=lambda row: len(self._ids[row]))
            table = torch.empty(len(order), self.dim)
            with torch.no_grad():
                start = 0
                while start < len(order):
                    longest = len(self._ids[order[start]])
                    end = start + 1
                    while end < len(order) and (end - start) * longest < _TOKENS:
                        longest = len(self._ids[order[end]])
                        end += 1
                    rows = order[start:end]
                    table[rows] = self._encode([self._ids[row] for row in rows])
                    start = end
            self._table = table
            self._kept = table
        return self._table

    def drawn(
        self, rows: torch.Tensor, targets: torch.Tensor, draws: np.random.Generator
    ) -> torch.Tensor:
        """The texts of the targets and some others computed anew, the rest as they were."""
        kept = self._kept[rows]
        others = torch.from_numpy(draws.permutation(len(rows)))
        chosen = torch.from_numpy(
            np.unique(torch.cat([_in_any_order(targets, draws), others])[: self._fresh].numpy())
        )
        ids = [self._shortened(self._ids[row], draws) for row in rows[chosen].tolist()]
        self._table = None
        return kept.index_copy(0, chosen, self._encode(ids))

    def state(self) -> dict[str, Any]:
        """The low-rank updates."""
        return {name: value.detach() for name, value in self._named.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take them in."""
        with torch.no_grad():
            for name, value in state.items():
                self._named[name].copy_(value)
        self._table = None

    def save(self, folder: Path) -> None:
        """Write the transformer with the updates merged into its weights, over those there.

        Raises:
            TrainingError: it cannot be written.
        """
        into = read_folder(folder).path
        merged = self._model.merge_and_unload()
        try:
            for old in (*into.glob("*.safetensors"), *into.glob("*.safetensors.index.json")):
                old.unlink()
            merged.save_pretrained(into, safe_serialization=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f"the trained model cannot be written to {into}: {error}"
            ) from error

    def _shortened(self, ids: list[int], draws: np.random.Generator) -> list[int]:
        if not self._leave_out:
            return ids
        stays = draws.random(len(ids)) >= self._leave_out
        left = [
            one for one, kept in zip(ids, stays.tolist(), strict=True)
            if kept or one in self._special
        ]  # fmt: skip
        return left if set(left) - self._special else ids

    def _encode(self, ids: list[list[int]]) -> torch.Tensor:
        """``(n, dim)`` unit rows; texts of one length together, so that nothing is padded."""
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        found, start = [], 0
        while start < len(order):
            length, end = len(ids[order[start]]), start
            while end < len(order) and len(ids[order[end]]) == length:
                end += 1
            tokens = torch.tensor([ids[row] for row in order[start:end]])
            hidden = self._model(input_ids=tokens).last_hidden_state
            groups = [(0, end - start, length)]
            found.append(pool(hidden.flatten(0, 1), groups, self._pooling, self._prompt_tokens))
            start = end
        vectors = functional.normalize(self._heads(torch.cat(found)), dim=1)
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return vectors[back]


def _in_any_order(targets: torch.Tensor, draws: np.random.Generator) -> torch.Tensor:
    """The different ones among them, in an order drawn at random."""
    return torch.from_numpy(draws.permutation(np.unique(targets.numpy())))
