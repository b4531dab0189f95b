"""``tidemark settings``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding

from tidemark.cli.common import (
    AsJson,
    Bootstrap,
    ConfigFile,
    console,
    load,
    overrides,
    print_json,
    shown,
)

if TYPE_CHECKING:
    from tidemark.explain import SettingInfo

__all__ = ["show"]


def show(
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Each setting's value, default, unit, source and meaning."),
    ] = False,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Print every setting as it stands, from command line, environment, file and defaults.

    Without --explain it is JSON. Secrets are not printed.
    """
    given = overrides(kafka={"bootstrap": bootstrap})
    settings = load(config, **given)
    if not explain:
        print_json(settings.model_dump(mode="json"))
        return
    from tidemark.explain import explain as explained  # noqa: PLC0415 # loads the settings
    from tidemark.settings import read_settings_file  # noqa: PLC0415

    found = explained(
        settings,
        given=given,
        env=os.environ,
        in_file={} if config is None else read_settings_file(config),
        file_name=str(config),
    )
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print(found)


def _print(found: list[SettingInfo]) -> None:
    """Two lines a setting, so that none is cut on a narrow terminal; in bold what somebody set."""
    group = None
    for one in found:
        head = one.name.partition(".")[0]
        if group not in {None, head}:
            console.print()
        group = head
        unit = f" {one.unit}" if one.unit and one.value is not None else ""
        origin = shown(one.source)
        if one.source != "default":
            origin += f"; default: {_plain(one.default)}"
        style = "[bold]" if one.source != "default" else "[not bold]"
        console.print(
            f"{style}{shown(one.name)} = {_plain(one.value)}{unit}[/]  [dim]({origin})[/]",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        console.print(Padding(shown(one.meaning), (0, 0, 0, 4)), highlight=False)


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,g}"
    if isinstance(value, str):
        return shown(value)
    return shown(json.dumps(value, ensure_ascii=False))
