"""``tidemark sizing``: what a load needs."""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from tidemark.cli.common import WRONG_USAGE, AsJson, console, fail, print_json
from tidemark.sizing import GIBIBYTE, Load, plan
from tidemark.sizing_tables import rows

__all__ = ["sizing"]


class _Precision(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    int8 = "int8"


class _Index(StrEnum):
    faiss = "faiss"
    milvus = "milvus"


class _Device(StrEnum):
    cpu = "cpu"
    cuda = "cuda"


class _History(StrEnum):
    some = "some"
    much = "much"


def sizing(
    actions_per_second: Annotated[float, typer.Option(help="At the busiest hour.")],
    users: Annotated[int, typer.Option(help="With a profile.")],
    items: Annotated[int, typer.Option(help="In the catalogue.")],
    dim: Annotated[int, typer.Option(help="Of the vectors.")] = 384,
    precision: Annotated[
        _Precision, typer.Option(help="Of the retrieval service's vectors.")
    ] = _Precision.bfloat16,
    index: Annotated[_Index, typer.Option(help="Of the retrieval service.")] = _Index.faiss,
    device: Annotated[_Device, typer.Option(help="Of the encoder.")] = _Device.cpu,
    queries: Annotated[float, typer.Option(help="Per second.")] = 50.0,
    new_texts: Annotated[
        float, typer.Option(help="Share of the actions whose text was not encoded before.")
    ] = 0.02,
    history: Annotated[
        _History, typer.Option(help="Most users have some (20) or much (200) seen items kept.")
    ] = _History.some,
    worker_memory: Annotated[float, typer.Option(help="GiB that one worker may take.")] = 16.0,
    takeover: Annotated[
        float, typer.Option(help="Seconds for another worker to read a lost one's profiles.")
    ] = 120.0,
    retention_days: Annotated[float, typer.Option(help="How long actions are kept.")] = 7.0,
    replication: Annotated[int, typer.Option(help="Copies of each topic.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Reckon what a load needs: workers, GPUs, memory, disk, partitions. See docs/sizing.md."""
    if not math.isfinite(worker_memory):
        raise fail(f"--worker-memory is {worker_memory}; expected a number of GiB", WRONG_USAGE)
    load = Load(
        actions_per_second=actions_per_second,
        users=users,
        items=items,
        dim=dim,
        precision=precision.value,
        index=index.value,
        device=device.value,
        queries_per_second=queries,
        new_texts=new_texts,
        history=history.value,
        worker_memory=round(worker_memory * GIBIBYTE),
        takeover_seconds=takeover,
        retention_days=retention_days,
        replication=replication,
    )
    found = plan(load)
    if as_json:
        print_json({"load": asdict(load), "plan": asdict(found)})
        return
    table = Table(box=None, show_header=False)
    for label, value in rows(found):
        table.add_row(label, value)
    console.print(table)
    console.print(
        "[dim]From measurements on 2 cores and some estimates: docs/sizing.md says which. "
        "Measure your own load before you buy.[/]"
    )
