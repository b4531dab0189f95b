"""What importing costs: the pure modules load no framework; and what each package exports."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAVY = [
    "aiokafka", "faiss", "fastapi", "faust", "kafka", "matplotlib", "mode", "prometheus_client",
    "pydantic", "pymilvus", "torch", "transformers", "uvicorn",
]  # fmt: skip

#: Run on the standard library, numpy, numba, msgspec and msgpack.
PURE = [
    "encoders",
    "encoders.cache",
    "encoders.errors",
    "encoders.factory",
    "encoders.hashing",
    "encoders.protocol",
    "encoders.service",
    "encoders.spaces",
    "encoders.templates",
    "encoders.training",
    "encoders.training.sequence",
    "encoders.training.sequence.chunks",
    "encoders.training.sequence.histories",
    "encoders.training.encoder",
    "encoders.training.encoder.actions",
    "encoders.training.encoder.forms",
    "encoders.training.encoder.moments",
    "encoders.training.encoder.plan",
    "encoders.training.encoder.popularity",
    "store",
    "store.batch",
    "store.batch_search",
    "store.blocks",
    "store.columns",
    "store.dashboard",
    "store.dashboard.figures",
    "store.dashboard.history",
    "store.dashboard.letters",
    "store.dashboard.looks",
    "store.dashboard.panels",
    "store.dashboard.parts",
    "store.dashboard.past",
    "store.dashboard.projection",
    "store.dashboard.promises",
    "store.compiled",
    "store.encode",
    "store.errors",
    "store.fold",
    "store.image",
    "store.indexes",
    "store.indexes.checks",
    "store.indexes.milvus_language",
    "store.indexes.milvus_target",
    "store.influence",
    "store.interner",
    "store.msgpack_bytes",
    "store.policies",
    "store.processors",
    "store.ranking",
    "store.ranking.blend",
    "store.ranking.changes",
    "store.ranking.choices",
    "store.ranking.columns",
    "store.ranking.counting",
    "store.ranking.features",
    "store.ranking.image",
    "store.ranking.learner",
    "store.ranking.packed",
    "store.ranking.pairs",
    "store.ranking.sampling",
    "store.ranking.warm_up",
    "store.ordering",
    "store.profile",
    "store.profiles",
    "store.ranker",
    "store.reference",
    "store.robustness",
    "store.query_vectors",
    "store.sequence",
    "store.snapshot",
    "store.state_scan",
    "store.states",
    "store.table",
    "store.tokens",
    "store.user_profile",
    "store.view",
    "store.warm_up",
    "store.why",
    "streams",
    "streams.activity",
    "streams.batches",
    "streams.catalogue",
    "streams.chunk",
    "streams.dead_letters",
    "streams.decode",
    "streams.errors",
    "streams.files",
    "streams.health",
    "streams.inbox",
    "streams.loop_watch",
    "streams.letters",
    "streams.lineage",
    "streams.offsets",
    "streams.partitions",
    "streams.reach",
    "streams.pipeline",
    "streams.preparing",
    "streams.reading",
    "streams.records",
    "streams.rules",
    "streams.schema",
    "streams.security",
    "streams.sensor",
    "streams.topic_settings",
    "streams.watchdog",
    "tidemark",
    "tidemark.cli",
    "tidemark.evaluation",
    "tidemark.evaluation.bootstrap",
    "tidemark.evaluation.charts",
    "tidemark.evaluation.cooccurrence",
    "tidemark.evaluation.log",
    "tidemark.evaluation.metrics",
    "tidemark.evaluation.moments",
    "tidemark.evaluation.nearness",
    "tidemark.evaluation.pairs",
    "tidemark.evaluation.popularity",
    "tidemark.evaluation.protocol",
    "tidemark.evaluation.ranking",
    "tidemark.evaluation.readers",
    "tidemark.evaluation.registry",
    "tidemark.evaluation.replay",
    "tidemark.evaluation.report",
    "tidemark.evaluation.tabular",
    "tidemark.evaluation.corruption",
    "tidemark.evaluation.trained",
    "tidemark.sequence_file",
    "tidemark.sizing",
    "tidemark.sizing_constants",
    "tidemark.sizing_tables",
    "tidemark.soak.plan",
    "tidemark.soak.replay",
    "tidemark.soak.verdict",
    "tidemark.training",
    "tidemark.training.choices",
    "tidemark.training.features",
    "tidemark.training.histories",
    "tidemark.training.profiles",
    "tidemark.training.checkpoints",
    "tidemark.training.folding",
    "tidemark.training.held_out",
]

#: The frameworks that these need are theirs alone.
EDGES = {
    "store.indexes.milvus": ["pymilvus"],
    "streams.outbox": ["aiokafka"],
    "streams.tail": ["aiokafka"],
    "streams.peek": ["aiokafka"],
    "streams.monitor": ["aiokafka"],
    "streams.health_server": ["prometheus_client"],
    "streams.publisher": ["kafka"],
    "streams.topics": ["kafka"],
    "streams.metrics": ["prometheus_client"],
    "tidemark.settings": ["pydantic"],
}

_SCRIPT = """
import importlib, json, sys
modules, heavy = json.loads(sys.argv[1])
loaded = {}
for module in modules:
    importlib.import_module(module)
    loaded[module] = sorted(name for name in heavy if sys.modules.pop(name, None))
print(json.dumps(loaded))
"""


def loaded_by(modules: list[str]) -> dict[str, list[str]]:
    """For each module the heavy ones that importing it loads, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps([modules, HEAVY])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded: dict[str, list[str]] = json.loads(done.stdout)
    return loaded


def test_the_pure_modules_load_no_framework() -> None:
    assert loaded_by(PURE) == {module: [] for module in PURE}


@pytest.mark.parametrize(("module", "needs"), EDGES.items(), ids=list(EDGES))
def test_an_edge_loads_its_own_framework_only(module: str, needs: list[str]) -> None:
    # also shows that the test above sees what is loaded
    assert loaded_by([module]) == {module: needs}


EXPORTS = {
    "encoders": [
        "CacheError", "DEFAULT_MODEL", "DEFAULT_TEMPLATES", "DeviceMemoryError", "DiskCache",
        "EncodedBatch",
        "EncoderClosedError", "EncoderError", "EncoderService", "EncodingFailedError",
        "HashingEncoder", "ModelNotFoundError", "ModelUnsupportedError", "SentimentError",
        "SentimentHead", "ServiceStats", "TemplateError", "Templates", "TextEncoder",
        "TrainingError", "VectorCache", "default_head", "load_encoder", "load_head",
    ],
    "encoders.models": [],
    "encoders.training": [],
    "encoders.training.sequence": [],
    "encoders.training.encoder": [],
    "store": [
        "Policy", "ProfileState", "StoreError", "decode_profile", "encode_profile", "version_of",
    ],
    "store.dashboard": [],
    "store.indexes": [
        "Filter", "Hits", "IndexPart", "Metadata", "NO_FILTER", "VectorIndex", "make_index",
    ],
    "store.service": ["ServiceSettings", "create_app"],
    "streams": ["Action", "Item", "Limits", "RejectReason", "StreamsError"],
    "store.ranking": [],
    "tidemark": ["__version__"],
    "tidemark.evaluation": [],
    "tidemark.cli": ["main"],
    "tidemark.cli.dead_letters": ["app"],
    "tidemark.cli.top": ["top"],
    "tidemark.compose": [],
    "tidemark.doctor": [],
    "tidemark.generation": [],
    "tidemark.training": [],
    "tidemark.soak": ["Fault", "FaultKind", "make_plan"],
}  # fmt: skip


@pytest.mark.parametrize(("package", "names"), EXPORTS.items(), ids=list(EXPORTS))
def test_a_package_exports_these_and_no_others(package: str, names: list[str]) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == names
    assert all(getattr(module, name) is not None for name in names)


def test_every_package_is_pinned() -> None:
    packages = {
        ".".join(found.parent.relative_to(ROOT).parts)
        for top in ("encoders", "store", "streams", "tidemark")
        for found in (ROOT / top).rglob("__init__.py")
    }
    assert packages == set(EXPORTS)


def test_every_name_that_a_module_exports_is_there() -> None:
    for name in PURE:
        module = importlib.import_module(name)
        assert all(hasattr(module, one) for one in module.__all__), name
        assert len(set(module.__all__)) == len(module.__all__), name


@pytest.mark.parametrize(
    ("package", "above"),
    [
        ("encoders", ["store", "streams", "tidemark"]),
        ("store", ["encoders", "streams", "tidemark"]),
        ("streams", ["encoders", "tidemark"]),
    ],
)
def test_a_package_knows_none_above_it(package: str, above: list[str]) -> None:
    """Read from the sources: imports under TYPE_CHECKING count too."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            named = []
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                named = [node.module or ""]
            for name in named:
                assert name.split(".")[0] not in above, f"{path}: {name}"
