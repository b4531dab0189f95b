"""What came of a training, as JSON and as text."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from encoders.errors import TrainingError
from encoders.training.encoder.judging import recall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from encoders.training.encoder.course import Course, Verdict
    from encoders.training.encoder.fitted import Epoch
    from encoders.training.encoder.judging import Ranks
    from encoders.training.encoder.plan import Plan

__all__ = ["report_of", "text_of", "write_report"]


def report_of(
    *,
    name: str,
    base: str,
    encoder_id: str,
    course: Course,
    plan: Plan,
    epochs: Sequence[Epoch],
    best: int,
    verdict: Verdict,
    seconds: float,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """All that there is to know of it.

    Args:
        name: of the log.
        base: id of the encoder that it began with.
        encoder_id: of what came of it.
        course: what it was trained on.
        plan: how.
        epochs: each.
        best: number of the one kept.
        verdict: on what was held out.
        seconds: that training and judging took.
        versions: of packages.
    """
    return {
        "promoted": verdict.promoted,
        "encoder_id": encoder_id,
        "base_encoder_id": base,
        "log": {
            "name": name,
            "actions": len(course.actions),
            "items": course.actions.catalogue,
            "users": int(course.actions.users.max()) + 1,
            "training_moments": len(course.training),
            "validation_moments": len(course.validation),
            "held_out_moments": len(course.held_out),
        },
        "plan": asdict(plan),
        "epochs": [asdict(epoch) for epoch in epochs],
        "best_epoch": best,
        "recall_at_10": {
            which: _recalls(ranks, plan)
            for which, ranks in (
                ("untrained", verdict.untrained),
                ("centred", verdict.centred),
                ("trained", verdict.trained),
            )
        },
        "gain": {
            "over_untrained": asdict(verdict.over_untrained),
            "over_centred": asdict(verdict.over_centred),
        },
        "seconds": round(seconds, 1),
        "versions": dict(versions),
    }


def text_of(report: Mapping[str, Any]) -> str:
    """The report for a person."""
    log, rows = report["log"], report["recall_at_10"]
    columns = [*rows["trained"]]
    made_of = f"{log['actions']:,} actions, {log['users']:,} users, {log['items']:,} items"
    judged = f"{log['validation_moments']:,} to stop by, {log['held_out_moments']:,} held out"
    ran = f"{report['epochs'][-1]['number']}, kept {report['best_epoch']}"
    lines = [
        f"log {log['name']}: {made_of}",
        f"moments: {log['training_moments']:,} to train on, {judged}",
        f"epochs: {ran}; {report['seconds']:.0f} s; seed {report['plan']['seed']}",
        "",
        " ".join(["recall@10, held out".ljust(20), *(column.rjust(16) for column in columns)]),
    ]
    for which, found in rows.items():
        figures = [f"{found[column]:.4f}".rjust(16) for column in columns]
        lines.append(" ".join([which.ljust(20), *figures]))
    lines.append("")
    for which, gain in report["gain"].items():
        lines.append(
            f"{which.replace('_', ' ')}, with popularity: {gain['value']:+.4f} "
            f"({gain['low']:+.4f} to {gain['high']:+.4f})"
        )
    if "tasks" in report:
        lines += ["", *_task_table(report["tasks"]), ""]
    lines.append("promoted" if report["promoted"] else "not promoted: an interval reaches zero")
    return "\n".join(lines) + "\n"


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """As ``report.json`` and ``report.txt``.

    Raises:
        TrainingError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (folder / "report.txt").write_text(text_of(report), encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"the report cannot be written to {folder}: {error}") from error


def _recalls(ranks: Ranks, plan: Plan) -> dict[str, float]:
    found = {
        f"alone k={k:g}": round(recall(one), 4)
        for k, one in zip(plan.keeps, ranks.alone, strict=True)
    }
    return {**found, "with popularity": round(recall(ranks.popular), 4)}


def _task_table(tasks: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    columns = [*next(iter(tasks.values()))]
    lines = [" ".join(["trained on".ljust(20), *(column.rjust(16) for column in columns)])]
    for name, found in tasks.items():
        figures = ("–" if found[one] is None else f"{found[one]:.4f}" for one in columns)
        lines.append(" ".join([name.ljust(20), *(figure.rjust(16) for figure in figures)]))
    return lines
