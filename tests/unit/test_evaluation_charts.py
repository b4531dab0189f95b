"""Charts of an evaluation: nothing is printed over anything, whatever is compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tidemark.evaluation.bootstrap import Estimate
from tidemark.evaluation.charts import CHARTED, LINES, draw, lines_of
from tidemark.evaluation.moments import SEGMENTS, Choice
from tidemark.evaluation.report import ALL, Period, Report, Row

METRIC = CHARTED[0]


def row(name: str, value: float, kind: str = "untrained") -> Row:
    """Its value is lower by a half in each further segment."""
    means = {
        segment: dict.fromkeys(CHARTED, Estimate(value / 2**at, value / 2**at / 2, value / 2**at))
        for at, segment in enumerate((ALL, *SEGMENTS))
    }
    return Row(
        name=name, kind=kind, means=means, coverage={}, differences=None,
        over_time={metric: [value, None, value] for metric in CHARTED}, learning=0.0, scoring=0.0,
    )  # fmt: skip


def report_of(*rows: Row, reference: str = "tidemark", long_tail: int = 90) -> Report:
    return Report(
        log="own", actions=9, users=9, items=9, choice=Choice(), eligible=9,
        moments={**dict.fromkeys((ALL, *SEGMENTS), 90), "long tail": long_tail},
        users_scored=9, reference=reference, policy="", mean_removal=True, whitening=0.0,
        left_out=0,
        periods=[Period(day * 86_400_000, day * 86_400_000, 3) for day in range(3)], rows=rows,
    )  # fmt: skip


def others(count: int) -> list[Row]:
    return [row(f"other-{at}", 0.01 * (at + 1)) for at in range(count)]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """What is drawn, by the picture's name, in place of a picture."""
    drawn: dict[str, Figure] = {}

    def keep(figure: Figure, path: Path, **_: Any) -> None:
        drawn[path.stem] = figure

    monkeypatch.setattr(Figure, "savefig", keep)
    return drawn


@pytest.mark.parametrize("count", [1, 3, 10, 23])
@pytest.mark.parametrize("kind", ["over-time", "by-segment"])
def test_the_header_is_as_near_to_the_plots_however_many_there_are(
    figures: dict[str, Figure], kind: str, count: int
) -> None:
    system = row("tidemark", 0.5, "system")
    draw(report_of(system, *others(count - 1)), Path())
    figure = figures[f"recall-at-10-{kind}"]
    title, below = (text.get_window_extent() for text in figure.texts)
    assert title.y1 <= figure.bbox.y1
    assert below.y1 <= title.y0
    around = [box for axes in figure.axes if (box := axes.get_tightbbox())]
    top = max(box.y1 for box in around)
    gap = (below.y0 - top) / figure.dpi
    assert 0 < gap < 0.3, "inches"
    bottom = min(box.y0 for box in around)
    assert 0 < bottom / figure.dpi < 0.3, "inches"


def test_a_segment_of_a_few_moments_is_not_drawn_and_sets_no_scale(
    figures: dict[str, Figure],
) -> None:
    one = row("tidemark", 0.1, "system")
    means = dict(one.means)
    means["long tail"] = dict.fromkeys(CHARTED, Estimate(0.5, 0.0, 1.0))
    draw(report_of(replace(one, means=means), long_tail=2), Path())
    axes = figures["recall-at-10-by-segment"].axes[[ALL, *SEGMENTS].index("long tail")]
    assert not axes.lines
    assert axes.get_title(loc="left").endswith("2 moments: too few")
    assert axes.get_xlim()[1] < 0.2


@pytest.mark.parametrize("name", ["a", "a-recommender-of-a-long-name"])
def test_the_names_beside_the_lines_fit_and_leave_little_room(
    figures: dict[str, Figure], name: str
) -> None:
    draw(report_of(row("tidemark", 0.5, "system"), row(name, 0.4)), Path())
    figure = figures["recall-at-10-over-time"]
    right = max(
        text.get_window_extent().x1
        for text in figure.axes[0].texts
        if text.get_text() in {name, "tidemark"}
    )
    assert 0 < (figure.bbox.x1 - right) / figure.dpi < 0.8, "inches"


def test_segments_share_a_scale_that_holds_every_interval(figures: dict[str, Figure]) -> None:
    draw(report_of(row("tidemark", 0.4, "system"), row("popularity", 0.8)), Path())
    limits = [axes.get_xlim() for axes in figures["recall-at-10-by-segment"].axes]
    assert len(limits) == 1 + len(SEGMENTS)
    assert set(limits) == {limits[0]}
    assert limits[0][0] == 0
    assert 0.8 < limits[0][1] < 0.9


def test_names_however_long_are_within_the_picture(figures: dict[str, Figure]) -> None:
    draw(
        report_of(row("tidemark", 0.4, "system"), row("m" + "without-popularity" * 2, 0.2)), Path()
    )
    box = figures["recall-at-10-by-segment"].axes[0].get_tightbbox()
    assert box is not None
    assert box.x0 >= 0


def test_where_nothing_is_found_charts_are_drawn(figures: dict[str, Figure]) -> None:
    draw(report_of(row("tidemark", 0.0, "system")), Path())
    assert np.isfinite(figures["recall-at-10-by-segment"].axes[0].get_xlim()).all()


def test_up_to_ten_are_all_drawn_over_time(figures: dict[str, Figure]) -> None:
    report = report_of(row("tidemark", 0.001, "system"), *others(LINES - 1))
    assert len(lines_of(report, METRIC)) == LINES
    draw(report, Path())
    assert "drawn of" not in figures["recall-at-10-over-time"].texts[1].get_text()


def test_of_more_the_system_and_the_best_others_are_drawn_and_it_is_said(
    figures: dict[str, Figure],
) -> None:
    report = report_of(row("tidemark", 0.001, "system"), *others(LINES))
    names = [one.name for one in lines_of(report, METRIC)]
    assert names == [*(f"other-{at}" for at in (9, 8, 7, 6, 5, 4)), "tidemark"]
    draw(report, Path())
    figure = figures["recall-at-10-over-time"]
    assert len(figure.axes[0].lines) == len(names)
    assert (
        "drawn of 11: tidemark, and the best 6 others, by recall@10 of all moments"
        in figure.texts[1].get_text()
    )


def test_variants_of_the_system_do_not_crowd_out_what_it_is_compared_with(
    figures: dict[str, Figure],
) -> None:
    system = row("tidemark", 0.9, "system")
    variants = [row(f"without-{at}", 0.8 + at / 100, "system") for at in range(8)]
    report = report_of(system, *variants, *others(7), reference="other-0")
    names = [one.name for one in lines_of(report, METRIC)]
    assert names == ["tidemark", *(f"other-{at}" for at in (6, 5, 4, 3, 2, 1, 0))]
    draw(report, Path())
    said = figures["recall-at-10-over-time"].texts[1].get_text()
    assert "drawn of 16: tidemark and other-0, and the best 6 others that are no variant" in said
    # where there are few others
    report = report_of(system, *variants, *others(3))
    names = [one.name for one in lines_of(report, METRIC)]
    assert names[:4] == ["tidemark", "without-7", "without-6", "without-5"]
    assert names[4:] == ["other-2", "other-1", "other-0"]
    draw(report, Path())
    said = figures["recall-at-10-over-time"].texts[1].get_text()
    assert "the best 6 others, variants of tidemark behind all else" in said
