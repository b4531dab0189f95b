"""``python -m benchmarks``: what ``make bench`` runs."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys

from rich.console import Console

from benchmarks.common.results import results_folder, save, show
from streams.errors import StreamsError
from tidemark.errors import TidemarkError

#: Areas, and their measurements in the order they are run.
AREAS = {
    "streams": ("consumption", "whole_path", "cold", "growth", "freshness", "restore"),
    "encoders": ("models", "cache"),
    "store": ("upserts", "mixed", "batch", "million", "memory", "peers", "restore"),
    "quality": ("retrieval", "robustness", "encoder", "learning", "ranker"),
}

_REPETITIONS = 5


def main() -> int:
    """Measure, show and save.

    Returns:
        0 where every bar was met, 1 where one was not, 2 where something needed is missing.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--area", choices=AREAS, help="only this one")
    parser.add_argument("--only", help="only this measurement of the area")
    parser.add_argument("--quick", action="store_true", help="few actions: shows that it works")
    parser.add_argument("--repetitions", type=int, help="5 by default, 1 with --quick")
    options = parser.parse_args()
    # So that brokers and their folders go with us also when we are told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        met = _measure(parser, options)
    except (StreamsError, TidemarkError) as error:
        print(error, file=sys.stderr)
        return 2
    # A quick run's figures mean nothing.
    return 0 if met or options.quick else 1


def _measure(parser: argparse.ArgumentParser, options: argparse.Namespace) -> bool:
    repetitions = options.repetitions or (1 if options.quick else _REPETITIONS)
    # Fewer repetitions than the rules ask for show no more than that it works.
    passing = options.quick or repetitions < _REPETITIONS
    console = Console(width=None if sys.stdout.isatty() else 150)
    met = True
    chosen = {options.area: AREAS[options.area]} if options.area else AREAS
    for area, names in chosen.items():
        if options.only and options.only not in names:
            parser.error(f"{area} has no measurement {options.only!r}; it has: {', '.join(names)}")
        for name in names:
            if options.only not in {None, name}:
                continue
            console.rule(f"{area}: {name}")
            module = importlib.import_module(f"benchmarks.{area}.{name}")
            measurement = module.measure(repetitions, quick=options.quick)
            show(measurement, console)
            save(area, measurement, quick=passing)
            met = met and all(bar.met for bar in measurement.bars)
    console.print(f"written to {results_folder(quick=passing)}")
    return met


if __name__ == "__main__":
    sys.exit(main())
