"""What the page on deploying says of secrets and files is so."""

from __future__ import annotations

import re
from pathlib import Path

from manifest_helpers import ROOT, Manifest

PAGE = (ROOT / "deploy/README.md").read_text()
#: Where a Secret's keys are files, by the variable that names one.
FILES = ("PASSWORD_FILE", "CA_FILE")


def asked_for(manifests: tuple[Manifest, ...]) -> dict[str, set[str]]:
    """Secrets that the manifests refer to, and which of their keys."""
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] in {"Deployment", "StatefulSet"}:
            pod = spec["template"]["spec"]
            for variable in pod["containers"][0]["env"]:
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    found.setdefault(reference["name"], set()).add(reference["key"])
            for volume in pod["volumes"]:
                if "secret" in volume:
                    keys = {
                        Path(one["value"]).name
                        for one in pod["containers"][0]["env"]
                        if one["name"].endswith(FILES)
                    }
                    found.setdefault(volume["secret"]["secretName"], set()).update(keys)
        for reference in spec.get("secretTargetRef", ()):
            found.setdefault(reference["name"], set()).add(reference["key"])
        for endpoint in spec.get("endpoints", ()):
            reference = endpoint.get("authorization", {}).get("credentials")
            if reference:
                found.setdefault(reference["name"], set()).add(reference["key"])
    return found


def test_every_secret_is_explained_with_its_keys(
    overlays: dict[str, tuple[Manifest, ...]],
) -> None:
    rows = re.findall(r"^\| `(tidemark-[\w-]+)` \| ([^|]+) \|", PAGE, re.MULTILINE)
    said = {
        name: {key for key in re.findall(r"`([^`]+)`", keys) if key[0] != "{" and ":" not in key}
        for name, keys in rows
    }
    asked: dict[str, set[str]] = {}
    for manifests in overlays.values():
        for name, keys in asked_for(manifests).items():
            asked.setdefault(name, set()).update(keys)
    assert said == asked


def test_every_component_is_explained() -> None:
    for folder in (ROOT / "deploy/kubernetes/components").iterdir():
        if (folder / "kustomization.yaml").is_file():
            assert f"`{folder.name}`" in PAGE, folder.name


def test_files_that_are_named_are_there() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "deploy" / path).exists(), path
