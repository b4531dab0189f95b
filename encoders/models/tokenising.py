"""Texts to token ids, as a model's makers meant it."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, normalizers, processors

from encoders.errors import EncodingFailedError, ModelUnsupportedError
from encoders.models.loading import UNLIMITED, padding_position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoders.models.folder import ModelFolder

__all__ = ["Tokenising"]

#: Where neither the folder nor the model says how long a text may be.
_MAX_TOKENS = 512


class Tokenising:
    """A model's tokenizer with its prompt and limit; may be called from several threads.

    Args:
        tokenizer: of transformers, a fast one.
        transformer: the model, which may limit a text's length.
        folder: what was published beside them.
        prompt: put before each text.
        max_tokens: texts are cut to so many, special ones and the prompt included.

    Attributes:
        max_tokens: in force.
        pad_id: any token; it is masked.
        described: the tokenizer as it is in force, in its own words, but for `max_tokens`.
        prompt: in force.
        prompt_tokens: how many of them each text begins with.
        texts_cut: texts that were longer.

    Raises:
        ModelUnsupportedError: the model cannot keep `max_tokens`.
    """

    def __init__(
        self,
        tokenizer: Any,
        transformer: Any,
        folder: ModelFolder,
        *,
        prompt: str,
        max_tokens: int | None,
    ) -> None:
        self.texts_cut = 0
        self.prompt = prompt
        self.max_tokens = _limit(max_tokens, folder, tokenizer, transformer)
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self._tokenizer = _prepared(tokenizer, folder)
        side = tokenizer.truncation_side
        self.described = f"{side} {self._tokenizer.to_str()}"
        self._tokenizer.enable_truncation(self.max_tokens, direction=side)
        self.prompt_tokens = self._length_of_prompt(tokenizer)
        self._unknown: int | None = tokenizer.unk_token_id
        self._counting = threading.Lock()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Of each text, at least one.

        Raises:
            EncodingFailedError: a text is none.
        """
        try:
            found = self._tokenizer.encode_batch_fast([self.prompt + text for text in texts])
        except Exception as error:  # the Rust tokenizer has no base class of its own
            raise EncodingFailedError(f"the tokenizer failed: {error}") from error
        cut = sum(bool(one.overflowing) for one in found)
        if cut:
            with self._counting:
                self.texts_cut += cut
        # Some tokenizers give nothing for a text of blanks; a model needs one token.
        return [one.ids or [self.pad_id] for one in found]

    def tokens(self, text: str) -> tuple[list[str], bool]:
        """The tokens of a text in words, and whether it was cut."""
        found = self._tokenizer.encode(self.prompt + text)
        return list(found.tokens), bool(found.overflowing)

    def knows(self, text: str) -> bool:
        """Whether at least half of a text's own tokens are in the vocabulary."""
        if self._unknown is None:
            return True
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return 2 * ids.count(self._unknown) <= len(ids)

    def _length_of_prompt(self, tokenizer: Any) -> int:
        """A special token that ends every text is not the prompt's own."""
        if not self.prompt:
            return 0
        ids = self._tokenizer.encode(self.prompt).ids
        return len(ids) - (bool(ids) and ids[-1] in tokenizer.all_special_ids)


def _limit(asked: int | None, folder: ModelFolder, tokenizer: Any, transformer: Any) -> int:
    positions = getattr(transformer.config, "max_position_embeddings", None)
    if positions:  # RoBERTa and its like begin after the padding token's
        positions -= padding_position(transformer) + 1
    limits = [v for v in (positions, tokenizer.model_max_length) if v and v < UNLIMITED]
    largest = min(limits, default=UNLIMITED)
    smallest = tokenizer.num_special_tokens_to_add() + folder.add_end + 1
    chosen = min(folder.max_tokens or _MAX_TOKENS, largest) if asked is None else asked
    if not smallest <= chosen <= largest:
        raise ModelUnsupportedError(
            f"max_tokens={chosen} is out of range for {folder.path}: allowed {smallest} to "
            f"{largest}"
        )
    return chosen


def _prepared(tokenizer: Any, folder: ModelFolder) -> Any:
    """The tokenizer itself, without the settings of its own that tokenizer.json may ship.

    MiniLM's has padding, and truncation to 128.
    """
    prepared = tokenizer.backend_tokenizer
    prepared.no_padding()
    prepared.no_truncation()
    end = tokenizer.eos_token
    if folder.add_end and end not in prepared.encode("a").tokens:
        # e5-mistral and its like pool the end token's vector; transformers 5 leaves it out.
        prepared = _with_end(prepared, end, tokenizer.eos_token_id)
    if folder.lower_case:
        first = [] if prepared.normalizer is None else [prepared.normalizer]
        prepared.normalizer = normalizers.Sequence([normalizers.Lowercase(), *first])
    return prepared


def _with_end(prepared: Any, end: str, end_id: int) -> Any:
    """The tokenizer with a token at the end of each text, after what it puts there itself."""
    said = json.loads(prepared.to_str())
    own = said["post_processor"] or {}
    for one in own.get("processors", [own]):
        if one.get("type") == "TemplateProcessing":  # two of them in a row do not work
            one["single"].append({"SpecialToken": {"id": end, "type_id": 0}})
            one["special_tokens"][end] = {"id": end, "ids": [end_id], "tokens": [end]}
            return Tokenizer.from_str(json.dumps(said))
    ending = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, end_id)])
    before = [] if prepared.post_processor is None else [prepared.post_processor]
    prepared.post_processor = processors.Sequence([*before, ending])
    return prepared
