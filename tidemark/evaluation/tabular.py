"""Columns of a file, CSV (also gzipped) or Parquet, as strings; and what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemark.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["codes", "numbers", "read_columns", "times_ms"]

#: Times below this are seconds: in milliseconds it is 1973.
_SECONDS_BELOW = 100_000_000_000
#: The year 10000 in milliseconds, as ISO 8601 has none beyond; in microseconds it is 1978.
_MOST = 253_402_300_800_000


def read_columns(file: Path) -> dict[str, list[str | None]]:
    """Every column as strings; empty ones are None, lists are joined by ``|``.

    Args:
        file: ``.csv`` or ``.tsv``, also with ``.gz`` behind it, or ``.parquet``.

    Raises:
        EvaluationError: it cannot be read, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 # of the extra `learn`, which serving does not need
        from pyarrow import csv, parquet  # noqa: PLC0415
    except ImportError as error:
        raise EvaluationError(
            f"{file} is read by pyarrow, which is not installed: pip install 'tidemark[learn]'"
        ) from error
    try:
        if file.suffix == ".parquet":
            table = parquet.read_table(file)
        else:
            separator = "\t" if ".tsv" in file.suffixes else ","
            parsing = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
            with csv.open_csv(file, parse_options=parsing) as rows:
                names = rows.schema.names
            table = csv.read_csv(
                file,
                parse_options=parsing,
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True,
                ),
            )  # fmt: skip
    except (OSError, pa.ArrowException) as error:
        advice = "; save it as UTF-8" if "invalid UTF8" in str(error) else ""
        raise EvaluationError(f"{file} cannot be read: {error}{advice}") from error
    names = table.column_names
    if twice := [name for name in names if names.count(name) > 1]:
        raise EvaluationError(f"{file} has the column {twice[0]!r} twice; expected it once")
    if len(names) == 1 and (separators := [one for one in ";|\t" if one in names[0]]):
        raise EvaluationError(
            f"{file} has one column, {names[0]!r}, which seems to be several divided by "
            f"{separators[0]!r}; expected commas, or tabs in a file whose name ends in .tsv"
        )
    return {name: _strings(table[name]) for name in names}


def _strings(column: Any) -> list[str | None]:
    """The values of a column of Arrow."""
    import pyarrow as pa  # noqa: PLC0415 # see above

    if pa.types.is_timestamp(column.type):
        # Python's times have no nanoseconds.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return [
        None
        if one is None
        else "|".join(map(str, one))
        if isinstance(one, list | tuple)
        else str(one)
        for one in column.to_pylist()
    ]


def codes(values: Sequence[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """A code for each value, by first appearance, and the values by code."""
    known: dict[str, int] = {}
    return (
        np.fromiter((known.setdefault(one, len(known)) for one in values), np.int32, len(values)),
        tuple(known),
    )


def numbers(file: Path, name: str, values: Sequence[str | None]) -> NDArray[np.float64]:
    """``(n,) float64``, NaN where there is none.

    Raises:
        EvaluationError: one is no number.
    """
    found = [np.nan if one is None else _number(one) for one in values]
    for row, (number, value) in enumerate(zip(found, values, strict=True), 1):
        if number is None:
            raise EvaluationError(
                f"{file}: row {row} has {value!r} in the column {name}; expected a number"
            )
    return np.array(found, np.float64)


def times_ms(file: Path, name: str, values: Sequence[str | None]) -> NDArray[np.int64]:
    """``(n,) int64`` ms since the epoch, of seconds, milliseconds or ISO 8601 (UTC where unsaid).

    Raises:
        EvaluationError: one is missing, neither, or of another unit than most; says which.
    """
    read = _number if values and _number(values[0]) is not None else _moment
    times = [read(one) for one in values]
    for row, (time, value) in enumerate(zip(times, values, strict=True), 1):
        if time is None or not abs(time) < _MOST:
            raise _no_time(file, name, row, value)
    found = np.array(times, np.float64)
    if read is _moment or not len(found):
        return found.astype(np.int64)
    in_seconds = np.abs(found) < _SECONDS_BELOW
    if (others := in_seconds != (np.median(np.abs(found)) < _SECONDS_BELOW)).any():
        row = int(np.flatnonzero(others)[0])
        most, other = (
            ("milliseconds", "seconds") if in_seconds[row] else ("seconds", "milliseconds")
        )
        raise EvaluationError(
            f"{file}: row {row + 1} has {values[row]} in the column {name}, {other} since 1970, "
            f"where most are {most}, and {int(others.sum())} rows in all; expected one unit"
        )
    return (found * 1000 if in_seconds.all() else found).astype(np.int64)


def _no_time(file: Path, name: str, row: int, value: str | None) -> EvaluationError:
    said = "nothing" if value is None else repr(value)
    return EvaluationError(
        f"{file}: row {row} has {said} in the column {name}; expected a time, and all alike: "
        f"seconds or milliseconds since 1970, or ISO 8601{_unit_of(value)}"
    )


def _unit_of(value: str | None) -> str:
    """A hint, where the number would be of our time in a finer unit."""
    number = _number(value)
    for unit, in_a_ms in (("microseconds", 1e3), ("nanoseconds", 1e6)):
        if number is not None and _SECONDS_BELOW < abs(number) / in_a_ms < _SECONDS_BELOW * 100:
            return f"; it may be in {unit}: divide all by {in_a_ms:,.0f}"
    return ""


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _moment(text: str | None) -> float | None:
    """Milliseconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return float(int(aware.timestamp() * 1000))
