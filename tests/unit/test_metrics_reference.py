"""The metrics are those that docs/metrics.md names, and every one says what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from service_rig import serving
from store_fakes import DIM, X, make_state, profile_record
from streams_fakes import asynchronous

from encoders import EncoderService, HashingEncoder, VectorCache
from store.metrics import PrometheusSensor as RetrievalSensor
from store.metrics import ServiceCollector
from store.profile import Contribution
from store.ranking.features import FEATURES
from store.ranking.learner import Learner
from store.ranking.warm_up import warm_up
from streams.errors import RejectReason
from streams.health import Health
from streams.metrics import PrometheusSensor as WorkerSensor
from streams.metrics import WorkerCollector
from streams.sensor import BatchFigures, Lag
from tidemark.compose.metrics import add_common_metrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
#: Of prometheus_client, and described by it.
STANDARD = ("process_", "python_")


@pytest.fixture
def encoding() -> Iterator[EncoderService]:
    encoding = EncoderService(HashingEncoder(4), VectorCache(0))
    yield encoding
    encoding.close()


def worker(encoding: EncoderService) -> CollectorRegistry:
    registry = CollectorRegistry()
    sensor = WorkerSensor(registry, [one.value for one in RejectReason])
    registry.register(WorkerCollector(Health(), lambda: 1, lambda: {"email": 1}))
    add_common_metrics(registry, "worker", lambda: encoding, "constant k=0.9")
    sensor.on_actions("view", "applied", 1)
    sensor.on_items("published", 1)
    sensor.on_lag({("actions", 0): Lag(1, 1.0)})
    sensor.on_batch(BatchFigures(1, 1, 1, 1, 1, 1))
    return registry


def retrieval(encoding: EncoderService, generations: object) -> CollectorRegistry:
    registry = CollectorRegistry()
    sensor = RetrievalSensor(registry)
    registry.register(ServiceCollector(generations))  # type: ignore[arg-type] # the rig's
    add_common_metrics(registry, "retrieval", lambda: encoding, "constant k=0.9")
    sensor.on_freshness(np.array([0.5]))
    sensor.on_records("profiles", "applied", 1)
    sensor.on_index_size("items", 1)
    sensor.on_search("items", 0.001)
    sensor.on_recall("items", 0.99)
    sensor.on_drift(np.array([0.1]))
    sensor.on_trial({"profile": True, "popularity": False})
    sensor.on_request("/healthz", 200, 0.01)
    return registry


def families(registry: CollectorRegistry) -> dict[str, Metric]:
    found = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        f"{one.name}_total" if one.type == "counter" else one.name: one
        for one in found
        if not one.name.startswith(STANDARD) and not one.name.endswith("_created")
    }


def documented() -> dict[str, tuple[str, str, str]]:
    """Kind, processes and labels by name."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w[\w, ]*) \|([^|]*)\|", PAGE, re.MULTILINE)
    return {name: (kind, of, labels.strip()) for name, kind, of, labels in rows}


@pytest.fixture(scope="module")
def compiled() -> None:
    """What may take long the first time, and is not to keep a service waiting."""
    warm_up(DIM)


@pytest.mark.usefixtures("compiled")
@asynchronous
async def test_every_metric_is_documented_and_no_other() -> None:
    encoding = EncoderService(HashingEncoder(4), VectorCache(0))
    async with serving(learner=Learner(DIM, partners=16)) as service:
        found = {
            "worker": families(worker(encoding)),
            "retrieval": families(retrieval(encoding, service.generations)),
        }
    encoding.close()
    said = documented()
    assert sorted(said) == sorted(found["worker"].keys() | found["retrieval"].keys())
    for name, (kind, of, labels) in said.items():
        assert of == ", ".join(one for one in found if name in found[one]), name
        for one in of.split(", "):
            family = found[one][name]
            assert family.type == kind, name
            assert len(family.documentation) > 10, name
            names = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert labels == ", ".join(f"`{label}`" for label in sorted(names)), name


def test_names_have_base_units(encoding: EncoderService) -> None:
    for name, family in families(worker(encoding)).items():
        assert re.fullmatch(r"tidemark(_[a-z]+)+", name), name
        assert not re.search(r"_(ms|millis|minutes|kb|mb|percent)(_|$)", name), name
        assert name.endswith("_total") == (family.type == "counter"), name


@asynchronous
async def test_the_service_tells_its_state_and_how_fresh_it_is() -> None:
    registry = CollectorRegistry()
    sensor = RetrievalSensor(registry, slo_seconds=0.3, objective=0.9)
    sensor.on_freshness(np.array([0.1, 0.3, 0.301, 9.0]))
    value = registry.get_sample_value
    assert value("tidemark_freshness_profiles_total", {"within_slo": "true"}) == 2
    assert value("tidemark_freshness_profiles_total", {"within_slo": "false"}) == 2
    # what is promised is a bucket, whatever the others are
    assert value("tidemark_freshness_seconds_bucket", {"le": "0.3"}) == 2
    async with serving(stock=False) as service:
        registry.register(ServiceCollector(service.generations))
        assert (value("tidemark_ready"), value("tidemark_follower_healthy")) == (0, 1)
        service.tail.known = True
        service.tail.waiting_for = "the brokers are away"
        await service.push()
        assert (value("tidemark_ready"), value("tidemark_follower_healthy")) == (1, 0)
        labels = {"generation": "profiles", "encoder_id": "test-encoder", "role": "serving"}
        assert value("tidemark_generation_info", labels) == 1


@pytest.mark.usefixtures("compiled")
@asynchronous
async def test_what_the_blend_learned_is_told_of_the_serving_generation() -> None:
    learner = Learner(DIM, partners=16)
    async with serving(learner=learner) as service:
        registry = CollectorRegistry()
        registry.register(ServiceCollector(service.generations))
        value = registry.get_sample_value
        await service.push()  # what was there before is counted
        before = value("tidemark_ranking_choices_counted_total")
        for count in (1, 2):
            seen = ["x", "y"][:count]
            liked = [Contribution("click", one, 0.5, 1.0) for one in seen]
            state = make_state(X, offset=count - 1, seen=seen, contributions=liked)
            await service.push(profile_record("new", state))
        assert before is not None
        assert value("tidemark_ranking_choices_counted_total") == before + 2
        assert value("tidemark_ranking_choices_learned_total") == learner.learned == 1
        for feature in FEATURES:
            weight = learner.weights()[feature]["always"]
            assert value("tidemark_ranking_weight", {"feature": feature}) == weight


@asynchronous
async def test_without_ranking_there_are_no_figures_of_it() -> None:
    async with serving() as service:
        registry = CollectorRegistry()
        registry.register(ServiceCollector(service.generations))
        assert b"ranking" not in generate_latest(registry)
