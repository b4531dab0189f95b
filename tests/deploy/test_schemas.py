"""Every manifest is what its schema allows, and has no field that it does not know."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from manifest_helpers import KUBERNETES, ROOT, Manifest, tool
from pydantic import ValidationError

from deploy.kubernetes.prometheus_rule import TARGET, rendered

#: A version that the schemas hold and clusters run.
KUBERNETES_VERSION = "1.34"
#: Written here after Strimzi's reference, as no package brings it: the fields used, no others.
STRIMZI = {
    kind: json.loads((Path(__file__).parent / f"schemas/{kind}.json").read_text())
    for kind in ("KafkaTopic", "KafkaUser")
}
#: The modules of their models, imported where they are used: each process that collects tests would
#: make six seconds of classes.
MODELS = {
    "ScaledObject": "cloudcoil.models.keda.v1alpha1",
    "TriggerAuthentication": "cloudcoil.models.keda.v1alpha1",
    "ServiceMonitor": "cloudcoil.models.prometheus_operator.v1",
    "PrometheusRule": "cloudcoil.models.prometheus_operator.v1",
}
#: KEDA's models take any map as a trigger's metadata; these are what its reference lists for Kafka.
KAFKA_TRIGGER = {
    "bootstrapServers", "consumerGroup", "topic", "lagThreshold", "activationLagThreshold",
    "offsetResetPolicy", "allowIdleConsumers", "scaleToZeroOnInvalidOffset",
    "excludePersistentLag", "limitToPartitionsWithLag", "ensureEvenDistributionOfPartitions",
    "version", "partitionLimitation", "sasl", "tls", "unsafeSsl",
}  # fmt: skip


def unknown(given: Any, kept: Any, path: str = "") -> list[str]:
    """What a model has dropped of what it was given, as paths."""
    if isinstance(given, Mapping):
        if not isinstance(kept, Mapping):
            return [path]
        return [
            found
            for name, value in given.items()
            for found in (
                unknown(value, kept[name], f"{path}.{name}") if name in kept else [f"{path}.{name}"]
            )
        ]
    if isinstance(given, Sequence) and not isinstance(given, str):
        if len(given) != len(kept):
            return [path]
        return [
            found
            for i, (value, other) in enumerate(zip(given, kept, strict=True))
            for found in unknown(value, other, f"{path}[{i}]")
        ]
    return []


def check_model(manifest: Manifest) -> None:
    kind = manifest["kind"]
    parsed = getattr(importlib.import_module(MODELS[kind]), kind).model_validate(manifest)
    kept = parsed.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert unknown(manifest, kept) == []


def check(manifest: Manifest) -> None:
    kind = manifest["kind"]
    if kind in STRIMZI:
        jsonschema.validate(manifest, STRIMZI[kind])
    elif kind in MODELS:
        check_model(manifest)
    else:
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_every_manifest_fits_its_schema(manifests: tuple[Manifest, ...]) -> None:
    for manifest in manifests:
        try:
            check(manifest)
        except Exception as error:
            raise AssertionError(f"{manifest['kind']} {manifest['metadata']['name']}") from error


def test_a_misspelt_field_is_found(overlays: dict[str, tuple[Manifest, ...]]) -> None:
    """So that the test above cannot pass because nothing is looked at."""
    wrong: dict[str, Any] = {}
    for manifest in overlays["production"]:
        wrong[manifest["kind"]] = json.loads(json.dumps(manifest))
    for kind, manifest in wrong.items():
        place = manifest.get("spec", manifest)
        place["mispelt"] = 1
        with pytest.raises(
            (
                kubernetes_validate.ValidationError,
                jsonschema.ValidationError,
                ValidationError,
                AssertionError,
            )
        ):
            check(manifest)
        assert kind


def test_triggers_have_no_metadata_that_keda_does_not_know(
    overlays: dict[str, tuple[Manifest, ...]],
) -> None:
    (scaled,) = [one for one in overlays["production"] if one["kind"] == "ScaledObject"]
    for trigger in scaled["spec"]["triggers"]:
        assert trigger["type"] == "kafka"
        assert set(trigger["metadata"]) <= KAFKA_TRIGGER
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_every_file_is_part_of_an_overlay() -> None:
    """A manifest that no kustomization names would be checked by nothing."""
    used = set()
    for file in KUBERNETES.rglob("kustomization.yaml"):
        made = yaml.safe_load(file.read_text())
        named = [
            *made.get("resources", ()),
            *(p["path"] for p in made.get("patches", ()) if "path" in p),
        ]
        used |= {(file.parent / one).resolve() for one in named}
    there = {file for file in KUBERNETES.rglob("*.yaml") if file.name != "kustomization.yaml"}
    assert {file for file in there if file.resolve() not in used} == set()


def test_the_compose_file_fits_the_specification(compose: Manifest) -> None:
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    assert spec.origin is not None
    vendored = Path(spec.origin).parent / "builtin_schemas/vendor/compose-spec.json"
    schema = jsonschema.Draft7Validator(json.loads(vendored.read_text()))
    schema.validate(compose)
    compose["services"]["worker"]["restrat"] = "always"
    with pytest.raises(jsonschema.ValidationError, match="restrat"):
        schema.validate(compose)


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_hadolint_finds_nothing(name: str) -> None:
    done = subprocess.run(
        [tool("hadolint"), "--failure-threshold", "style", str(ROOT / "deploy" / name)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_operators_rules_are_prometheus_rules() -> None:
    """Mend it with: python -m deploy.kubernetes.prometheus_rule."""
    assert TARGET.read_text() == rendered()
    made = yaml.safe_load(TARGET.read_text())
    check_model(made)
    for name in ("recording-rules.yaml", "alerts.yaml"):
        read = yaml.safe_load((ROOT / "deploy/prometheus" / name).read_text())
        assert read["groups"]
        assert all(group in made["spec"]["groups"] for group in read["groups"])


def test_the_operators_jobs_are_those_that_the_rules_name(
    overlays: dict[str, tuple[Manifest, ...]],
) -> None:
    rules = TARGET.read_text()
    monitors = [one for one in overlays["production"] if one["kind"] == "ServiceMonitor"]
    services = [one for one in overlays["production"] if one["kind"] == "Service"]
    jobs = set()
    for monitor in monitors:
        spec = monitor["spec"]
        (service,) = [
            one["metadata"]
            for one in services
            if spec["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
        ]
        jobs.add(service["labels"][spec["jobLabel"]])
    assert jobs == {"tidemark-worker", "tidemark-retrieval"}
    named = set(re.findall(r"""job=~?["']([^"']+)["']""", rules))
    assert named
    assert {one for one in named if not any(re.fullmatch(one, job) for job in jobs)} == set()
