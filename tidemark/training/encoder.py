"""Trains the settings' encoder on a log, and leaves a folder that a new generation can use."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.errors import TrainingError
from encoders.factory import model_folder
from encoders.training.encoder.checkpoint import Checkpoint
from encoders.training.encoder.comparison import compare_tasks
from encoders.training.encoder.course import prepare, train_projection
from encoders.training.encoder.forms import without_some_words
from encoders.training.encoder.lora import LoraVectors
from encoders.training.encoder.model_folder import add_projection, copy_model
from encoders.training.encoder.report import report_of, write_report
from encoders.training.encoder.sources import FixedVectors
from tidemark.compose.parts import build_encoder
from tidemark.training.action_texts import actions_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from encoders import TextEncoder
    from encoders.training.encoder.fitted import Epoch
    from encoders.training.encoder.plan import Plan
    from tidemark.evaluation.log import ActionLog
    from tidemark.settings import Settings

__all__ = ["EncoderTraining"]

#: Texts are encoded so many at a time, so that progress can be shown.
_CHUNK = 512
#: Texts whose vectors by the folder that was written are compared with what was trained.
_TRIED = 64
#: Least cosine of the two: reduced precisions round.
_SAME = 0.999
#: Share of the words that a form of the texts goes without.
_LEFT_OUT = 0.2
_PACKAGES = ("tidemark", "torch", "transformers", "safetensors", "numpy")


class EncoderTraining:
    """One training of a projection.

    Args:
        log: to learn from.
        settings: the encoder, its templates, and the weights of actions.
        plan: how.
        out: folder of the model, the checkpoint and the report.
        share: how much of the log is looked at, from its begin.
        augment: also train on other forms of the texts.
        lora_rank: of the updates of the transformer; None for the projection alone.
        resume: go on from the checkpoint in the folder.
        on_encoded: is told how many texts are done, and of how many.
        on_epoch, on_batch: as of `encoders.training.encoder.fitting.fit`.

    Attributes:
        checkpoint: the file that each epoch is kept in.
    """

    def __init__(
        self,
        log: ActionLog,
        settings: Settings,
        plan: Plan,
        out: Path,
        *,
        share: float = 1.0,
        augment: bool = False,
        lora_rank: int | None = None,
        resume: bool = False,
        on_encoded: Callable[[int, int], None] = lambda *_: None,
        on_epoch: Callable[[Epoch], None] = lambda _: None,
        on_batch: Callable[[int, int, int], None] = lambda *_: None,
    ) -> None:
        self._log, self._settings, self._plan, self._out = log, settings, plan, out
        self.checkpoint = out / "training" / "checkpoint.pt"
        self._share, self._augment, self._resume = share, augment, resume
        self._lora_rank = lora_rank
        self._on_encoded, self._on_epoch, self._on_batch = on_encoded, on_epoch, on_batch

    def run(self, *, compare: bool = False) -> dict[str, Any]:
        """Train, judge, and write the folder; returns the report.

        Args:
            compare: also train each task alone.

        Raises:
            EncoderError: the encoder cannot be loaded or trained.
            EvaluationError: the settings do not know an action of the log.
        """
        begun = time.monotonic()
        if compare and (self._lora_rank is not None or len(self._plan.tasks) == 1):
            raise TrainingError(
                "tasks are compared by projections alone, and from two tasks on; name them by "
                "--tasks, and leave out --lora"
            )
        chosen = self._settings.encoder
        if chosen.truncate_dim is not None:
            raise TrainingError(
                f"encoder.truncate_dim is {chosen.truncate_dim}: a projection is trained on whole "
                "vectors; leave it out"
            )
        folder = model_folder(chosen.model)
        actions, texts = actions_of(self._log, self._settings)
        actions = actions.first(max(1, round(len(actions) * self._share)))
        course = prepare(actions, self._plan)
        base = build_encoder(chosen)  # last of these, as it takes longest
        # before the texts are encoded, which takes longest
        checkpoint = Checkpoint(
            self.checkpoint,
            {
                "log": self._log.name,
                "actions": len(actions),
                "texts": len(texts),
                # all else that settings and the log decide: strengths, times, what texts say
                "data": actions.fingerprint(texts),
                "encoder": base.encoder_id,
                "augment": self._augment,
                "lora": self._lora_rank,
                **self._plan.identity(),
            },
            resume=self._resume,
        )
        source = self._source(folder, base, texts, actions.catalogue)
        outcome = train_projection(
            course, source, self._plan, checkpoint=checkpoint,
            on_epoch=self._on_epoch, on_batch=self._on_batch,
        )  # fmt: skip
        copy_model(folder, self._out)
        if isinstance(source, LoraVectors):
            source.save(self._out)
        add_projection(self._out, outcome.fitted.projection)
        report = report_of(
            name=self._log.name,
            base=base.encoder_id,
            encoder_id=self._loaded(texts[:_TRIED], outcome.fitted.vectors()[:_TRIED]),
            course=course,
            plan=self._plan,
            epochs=outcome.fitted.epochs,
            best=outcome.fitted.best,
            verdict=outcome.verdict,
            seconds=time.monotonic() - begun,
            versions={name: version(name) for name in _PACKAGES},
        )
        if compare:
            report["tasks"] = compare_tasks(
                course, source.table().numpy(), self._plan, outcome.fitted
            )
        write_report(self._out, report)
        return report

    def _source(
        self, folder: Path, base: TextEncoder, texts: list[str], catalogue: int
    ) -> FixedVectors | LoraVectors:
        if self._lora_rank is None:
            vectors, *others = self._encode(base, [texts, *self._forms(texts, catalogue)])
            variants = np.stack(others) if others else None
            return FixedVectors(vectors, variants=variants, dropout=self._plan.dropout)
        chosen = self._settings.encoder
        source = LoraVectors(
            folder,
            texts,
            rank=self._lora_rank,
            leave_out=_LEFT_OUT if self._augment else 0.0,
            seed=self._plan.seed,
            prompt=chosen.prompt,
            prompt_name=chosen.prompt_name,
            max_tokens=chosen.max_tokens,
        )
        source.table()
        self._on_encoded(len(texts), len(texts))
        return source

    def _forms(self, texts: list[str], catalogue: int) -> list[list[str]]:
        """Titles alone, and all texts without some words."""
        if not self._augment:
            return []
        titles = [
            item.title or text for item, text in zip(self._log.catalogue, texts, strict=False)
        ]
        fewer = without_some_words(texts, _LEFT_OUT, self._plan.seed)
        return [[*titles, *texts[catalogue:]], fewer]

    def _encode(self, base: TextEncoder, forms: list[list[str]]) -> list[NDArray[np.float32]]:
        """``(texts, dim)`` of each form."""
        of, done, found = sum(map(len, forms)), 0, []
        for texts in forms:
            vectors = np.empty((len(texts), base.dim), np.float32)
            for start in range(0, len(texts), _CHUNK):
                part = texts[start : start + _CHUNK]
                vectors[start : start + _CHUNK] = base.encode(part)
                done += len(part)
                self._on_encoded(done, of)
            found.append(vectors)
        return found

    def _loaded(self, texts: list[str], expected: NDArray[np.float32]) -> str:
        """The id that the written folder's encoder has; it must give what was trained.

        Raises:
            TrainingError: it does not.
        """
        chosen = self._settings.encoder.model_copy(update={"model": str(self._out)})
        encoder = build_encoder(chosen)
        cosine = float(np.einsum("ij,ij->i", encoder.encode(texts), expected).min())
        if cosine < _SAME:
            raise TrainingError(
                f"the model written to {self._out} gives other vectors than were trained (cosine "
                f"{cosine:.4f}): is another model in that folder? Name an empty one"
            )
        return encoder.encoder_id
