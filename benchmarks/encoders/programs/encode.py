"""Encodes a file's texts in one way, once for each line of standard input, and says how long.

python encode.py '{"variant": …, "model": FOLDER, "texts": FILE, "out": FILE.npy, "onnx": FOLDER}'
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

MAX_TOKENS = 256
SIZES = (8, 16, 32, 64, 128)
TRIAL = 400


def ours(precision):
    def make(model, _):
        from encoders.models.transformer import TransformerEncoder

        encoder = TransformerEncoder(model, precision=precision)
        return encoder.encode, f"{encoder.encoder_id.split(':')[-1]}, packed: {encoder.packs}"

    return make


def sentence_transformers(**options):
    def make(model, texts):
        import torch
        from sentence_transformers import SentenceTransformer

        bfloat16 = {"dtype": torch.bfloat16} if options.get("bfloat16") else {}
        loaded = SentenceTransformer(model, device="cpu", model_kwargs=bfloat16)

        def encode(some, size=32):
            vectors = loaded.encode(some, batch_size=size, normalize_embeddings=True)
            return np.asarray(vectors, np.float32)

        return best_size(encode, texts) if options.get("tuned") else (encode, "batches of 32")

    return make


def onnx_runtime(name):
    def make(model, texts):
        import onnxruntime

        session = onnxruntime.InferenceSession(
            str(Path(ONNX) / name), providers=["CPUExecutionProvider"]
        )

        def forward(ids, mask):
            types = np.zeros_like(ids)
            return session.run(
                None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
            )[0]

        return best_size(sorted_batches(model, forward), texts)

    return make


def openvino(hint):
    def make(model, texts):
        import openvino

        core = openvino.Core()
        compiled = core.compile_model(
            core.read_model(str(Path(ONNX) / "model.onnx")),
            "CPU",
            {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint},
        )

        def forward(ids, mask):
            return compiled([ids, mask, np.zeros_like(ids)])[0]

        return best_size(sorted_batches(model, forward), texts)

    return make


def sorted_batches(model, forward):
    """Tokenise, sort by length, pad, pool the mean, normalise: as one would by hand."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)

    def encode(texts, size):
        ids = [found.ids for found in tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        vectors = np.empty((len(ids), 384), np.float32)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            lengths = np.array([len(ids[row]) for row in rows])
            mask = np.arange(lengths[0]) < lengths[:, None]
            padded = np.zeros(mask.shape, np.int64)
            padded[mask] = np.concatenate([ids[row] for row in rows])
            hidden = forward(padded, mask.astype(np.int64))
            pooled = (hidden * mask[..., None]).sum(1) / lengths[:, None]
            vectors[rows] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors

    return encode


def best_size(encode, texts):
    """The batch size that is fastest on some of the texts."""
    some = texts[:: max(1, len(texts) // TRIAL)]
    rates = {}
    for size in SIZES:
        encode(some[:size], size)
        started = time.perf_counter()
        encode(some, size)
        rates[size] = time.perf_counter() - started
    best = min(rates, key=rates.get)
    return (lambda given: encode(given, best)), f"batches of {best}"


def ceiling(model, _):
    """No texts: the product of two matrices of 1024 x 1024, in GFLOP/s by precision."""
    import torch

    def measure(_):
        found = {}
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            a, b = torch.randn(1024, 1024).to(dtype), torch.randn(1024, 1024).to(dtype)
            best = float("inf")
            for _ in range(12):
                started = time.perf_counter()
                a @ b
                best = min(best, time.perf_counter() - started)
            found[name] = 2 * 1024**3 / best / 1e9
        print(json.dumps({"ceiling": found}), flush=True)
        return np.zeros((1, 1), np.float32)

    return measure, ""


VARIANTS = {
    "tidemark": ours("auto"),
    "tidemark float32": ours("float32"),
    "tidemark int8": ours("int8"),
    "sentence-transformers": sentence_transformers(),
    "sentence-transformers tuned": sentence_transformers(tuned=True),
    "sentence-transformers bfloat16": sentence_transformers(tuned=True, bfloat16=True),
    "onnx float32": onnx_runtime("model.onnx"),
    "onnx int8": onnx_runtime("model-int8.onnx"),
    "openvino float32": openvino("f32"),
    "openvino bfloat16": openvino("bf16"),
    "ceiling": ceiling,
}

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    ONNX = given.get("onnx")
    texts = json.loads(Path(given["texts"]).read_text())
    encode, how = VARIANTS[given["variant"]](given["model"], texts)
    encode(texts[:64])
    print(json.dumps({"ready": how}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        vectors = encode(texts)
        seconds = time.perf_counter() - started
        np.save(given["out"], vectors)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)
