"""Manifests as kustomize renders them; the tools that check them are needed, never skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import yaml
from manifest_helpers import KUBERNETES, ROOT, Manifest, render

#: What is not in an overlay that is ready to use is rendered by one of its own, in a folder of the
#: test: every component, alone and with the others that it changes.
MADE_UP = {
    "gpu": ["base", "components/gpu"],
    "milvus": ["base", "components/milvus"],
    "tracing": ["base", "components/tracing"],
}


@pytest.fixture(scope="session")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Manifest, ...]]:
    """Everything that kustomize makes of this folder, by the overlay's name."""
    rendered = {
        folder.name: render(folder) for folder in sorted((KUBERNETES / "overlays").iterdir())
    }
    copy = tmp_path_factory.mktemp("kubernetes")
    shutil.copytree(KUBERNETES, copy, dirs_exist_ok=True)
    for name, (base, *components) in MADE_UP.items():
        folder = copy / "overlays" / name
        folder.mkdir()
        made = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"../../{base}"],
            "components": [f"../../{one}" for one in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(made))
        rendered[name] = render(folder)
    return rendered


@pytest.fixture(params=["production", "trial", *MADE_UP])
def overlay(request: pytest.FixtureRequest, overlays: dict[str, tuple[Manifest, ...]]) -> str:
    name: str = request.param
    assert name in overlays
    return name


@pytest.fixture
def manifests(overlay: str, overlays: dict[str, tuple[Manifest, ...]]) -> tuple[Manifest, ...]:
    return overlays[overlay]


@pytest.fixture
def of_kind(manifests: tuple[Manifest, ...]) -> Callable[..., list[Manifest]]:
    """The manifests of these kinds."""

    def choose(*kinds: str) -> list[Manifest]:
        return [one for one in manifests if one["kind"] in kinds]

    return choose


@pytest.fixture
def compose() -> Manifest:
    read: Manifest = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    return read
