"""How a loaded model computes: budgets, memory that runs out, compiling, eight-bit integers."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from model_folders import SEE_PADDING, make_folder
from model_folders import TEXTS as LETTERS

from encoders import DeviceMemoryError, EncodingFailedError, ModelUnsupportedError, load_encoder
from encoders.models.prepacked import can_prepack, prepack
from encoders.models.transformer import TransformerEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from encoders.models.batches import TokenBatch

TEXTS = ["a b c", "d", "a a a a a a a a a a", "e f", "b", "c d e f"]


def test_a_budget_below_one_text_makes_batches_of_one(tiny: Path) -> None:
    single = TransformerEncoder(str(tiny), batch_tokens=1).encode(TEXTS)
    np.testing.assert_allclose(TransformerEncoder(str(tiny)).encode(TEXTS), single, atol=1e-5)
    with pytest.raises(ValueError, match="batch_tokens must be at least 1"):
        TransformerEncoder(str(tiny), batch_tokens=0)


class SmallMemory:
    """Fails as a device does for batches of more than `limit` tokens."""

    shapes = None

    def __init__(self, encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.limit = 1 << 20
        self.sizes: list[int] = []
        self.forward = encoder._forward  # noqa: SLF001 - the seam where a device fails
        monkeypatch.setattr(encoder, "_forward", self)

    def __call__(self, batch: TokenBatch) -> torch.Tensor:
        self.sizes.append(len(batch.ids))
        if len(batch.ids) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return self.forward(batch)


def test_out_of_memory_halves_the_budget(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = TransformerEncoder(str(tiny), device="cpu", threads=1)
    expected = encoder.encode(TEXTS)
    memory = SmallMemory(encoder, monkeypatch)
    memory.limit = 24
    with caplog.at_level(logging.WARNING, "encoders"):
        np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    assert "out of memory" in caplog.text
    memory.sizes.clear()
    encoder.encode(TEXTS)
    assert max(memory.sizes) <= memory.limit, "the lower budget is kept"


def test_a_text_that_does_not_fit_alone_is_reported_as_retriable(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TransformerEncoder(str(tiny), device="cpu", threads=1)
    memory = SmallMemory(encoder, monkeypatch)
    memory.limit = 8
    with pytest.raises(DeviceMemoryError, match="12 tokens does not fit") as raised:
        encoder.encode(TEXTS)
    assert raised.value.retriable
    memory.limit = 1 << 20
    memory.sizes.clear()
    encoder.encode(TEXTS)
    assert len(memory.sizes) == 1, "one text's failure does not shrink the batches that follow"


def test_what_is_not_text_is_an_error_of_ours(tiny: Path) -> None:
    with pytest.raises(EncodingFailedError, match="tokenizer failed"):
        TransformerEncoder(str(tiny)).encode(["a", "\ud800"])


def test_an_encoder_that_is_not_used_any_more_leaves_no_thread(tiny: Path) -> None:
    before = threading.active_count()
    encoder = TransformerEncoder(str(tiny), device="cpu", threads=3)
    encoder.encode(TEXTS)
    assert threading.active_count() > before
    lanes = [thread for thread in threading.enumerate() if thread.name.startswith("encoder-lane")]
    del encoder
    gc.collect()
    for thread in lanes[-3:]:
        thread.join(30)
    assert threading.active_count() <= before


def test_a_compiled_model_is_given_a_few_shapes(tiny: Path) -> None:
    encoder = TransformerEncoder(str(tiny), device="cpu", precision="float32", threads=1)
    expected = encoder.encode(TEXTS)
    seen: set[tuple[int, ...]] = set()
    forward = encoder._forward  # noqa: SLF001 - what compiling sets, without compiling
    forward.first_position, forward.shapes = None, 40
    run = forward._model  # noqa: SLF001

    def model(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        seen.add(tuple(input_ids.shape))
        return run(input_ids=input_ids, attention_mask=attention_mask)

    forward._model = model  # noqa: SLF001
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS * 20), np.tile(expected, (20, 1)), atol=1e-5)
    assert seen == {(2, 16)}
    encoder.encode(["a " * 20])
    assert seen == {(2, 16), (1, 32)}


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_compiling_changes_no_vector(tiny: Path) -> None:
    expected = TransformerEncoder(str(tiny), device="cpu", precision="float32").encode(TEXTS)
    compiled = load_encoder(
        str(tiny), device="cpu", precision="float32", compile_mode="default", batch_tokens=64
    )
    assert isinstance(compiled, TransformerEncoder)
    assert not compiled.packs
    np.testing.assert_allclose(compiled.encode(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(
            dtype,
            marks=pytest.mark.skipif(
                not can_prepack(torch.device("cpu"), dtype),
                reason=f"needs oneDNN on x86-64, and AVX512 for bfloat16: {dtype}",
            ),
        )
        for dtype in (torch.float32, torch.bfloat16)
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_weights_laid_out_before_give_the_same_products(dtype: torch.dtype, bias: bool) -> None:
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(24, 40, bias=bias), torch.nn.Linear(40, 8)).to(
        dtype
    )
    inputs = torch.randn(2, 5, 24, dtype=dtype)
    with torch.inference_mode():
        expected = model(inputs)
        prepack(model)
        found = model(inputs)
        alone = model(inputs[:1, :1])
    assert not list(model.parameters()), "the weights as they were are let go"
    assert found.dtype == model[0].weight.dtype == dtype
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(alone, found[:1, :1])


@pytest.mark.skipif(not can_prepack(torch.device("cpu")), reason="needs oneDNN on x86-64")
def test_a_processor_that_lays_out_no_bfloat16_computes_it_all_the_same(tiny: Path) -> None:
    """oneDNN told to do as on a processor without AVX512; it reads that at its first use."""
    code = (
        "import sys; from encoders import load_encoder; "
        "print(load_encoder(sys.argv[1], precision='bfloat16').encode(['a b c']).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny)],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 16)"


@pytest.mark.parametrize("architecture", SEE_PADDING)
def test_a_model_that_sees_the_padding_is_given_none(
    tmp_path: Path, architecture: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = str(make_folder(tmp_path / "model", architecture))
    with caplog.at_level(logging.INFO, "encoders"):
        encoder = TransformerEncoder(folder, device="cpu", precision="float32")
    assert "tokens with others of their length" in caplog.text
    alone = np.concatenate([encoder.encode([text]) for text in LETTERS])
    np.testing.assert_allclose(encoder.encode(LETTERS), alone, rtol=0, atol=1e-5)
    encoder._forward.pads = True  # noqa: SLF001 - what would be without
    assert np.abs(encoder.encode(LETTERS) - alone).max() > 1e-3
    with pytest.raises(ModelUnsupportedError, match="padding changes the vectors"):
        TransformerEncoder(folder, device="cpu", precision="float32", compile_mode="default")


def test_int8_is_not_compiled_again(tiny: Path) -> None:
    with pytest.raises(ModelUnsupportedError, match="int8 and compile_mode default do not go"):
        TransformerEncoder(str(tiny), device="cpu", precision="int8", compile_mode="default")


def test_a_model_that_cannot_run_at_all_says_so(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no kernel for Half")

    monkeypatch.setattr("transformers.BertModel.forward", fail)
    with pytest.raises(ModelUnsupportedError, match=r"cannot be run in .*no kernel for Half.*may"):
        TransformerEncoder(str(tiny), device="cpu")


def test_int8_is_close_and_independent_of_the_batch(tiny: Path) -> None:
    expected = TransformerEncoder(str(tiny), device="cpu", precision="float32")
    encoder = TransformerEncoder(str(tiny), device="cpu", precision="int8")
    found = encoder.encode(TEXTS)
    assert np.einsum("ij,ij->i", found, expected.encode(TEXTS)).min() > 0.99
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert encoder.encoder_id == expected.encoder_id.replace("float32", "int8")
