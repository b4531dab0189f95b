"""``python -m deploy.grafana``: write ``dashboards/*.json``."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana import overview, quality, retrieval, worker
from deploy.grafana.panels import as_json

FOLDER = Path(__file__).parent / "dashboards"


def written() -> dict[str, str]:
    """The text of each file, by its name."""
    dashboards = {
        "overview.json": overview.dashboard(),
        "quality.json": quality.dashboard(),
        "retrieval.json": retrieval.dashboard(),
        "worker.json": worker.dashboard(),
    }
    return {name: as_json(one) for name, one in dashboards.items()}


if __name__ == "__main__":
    for name, text in written().items():
        (FOLDER / name).write_text(text)
