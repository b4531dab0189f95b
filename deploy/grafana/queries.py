"""Queries as the dashboards' descriptions write them.

``{*}`` stands for the jobs and instances that are chosen on the dashboard, ``{*,type="view"}`` for
these and more, and ``{@}`` for the jobs alone, as recorded series have them.
"""

from __future__ import annotations

__all__ = ["Query", "mean", "quantiles", "share", "whole"]

#: An expression, and the legend of its series.
Query = tuple[str, str]

_JOB = 'job=~"$job"'
_CHOSEN = f'{_JOB},instance=~"$instance"'


def whole(expression: str) -> str:
    """The expression as Grafana takes it."""
    return expression.replace("{*", "{" + _CHOSEN).replace("{@", "{" + _JOB)


def quantiles(
    metric: str,
    *shares: float,
    by: str = "",
    window: str = "$__rate_interval",
    also: str = "",
) -> list[Query]:
    """Queries for quantiles of a histogram.

    Args:
        metric: its name, without ``_bucket``.
        shares: 0.5 for the median, and so on.
        by: a label to keep apart.
        window: what the quantiles are of.
        also: further labels to select by.
    """
    kept = f"le, {by}" if by else "le"
    return [
        (
            (
                f"histogram_quantile({share:g}, sum by ({kept}) "
                f"(rate({metric}_bucket{{*{also}}}[{window}])))"
            ),
            f"p{share * 100:g}" + (f" {{{{{by}}}}}" if by else ""),
        )
        for share in shares
    ]


def mean(histogram: str, window: str = "$__rate_interval") -> str:
    """The mean of what a histogram counted; nothing where it counted nothing."""
    return (
        f"sum(rate({histogram}_sum{{*}}[{window}]))"
        f" / (sum(rate({histogram}_count{{*}}[{window}])) > 0)"
    )


def share(part: str, rest: str) -> str:
    """The share that a counter has of the sum of two; nothing where neither grew."""
    one, other = (f"sum(rate({counter}{{*}}[$__rate_interval]))" for counter in (part, rest))
    return f"{one} / (({one} + {other}) > 0)"
