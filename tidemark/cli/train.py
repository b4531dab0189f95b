"""``tidemark train``: what is learned from a log; each command has a module of its own."""

from __future__ import annotations

import typer

from tidemark.cli import (
    train_encoder,
    train_influence,
    train_policy,
    train_ranker,
    train_sequence,
)

__all__ = ["app"]

app = typer.Typer(
    help="Learn from a log: encoders, influences, policies, sequences, rankers.",
    no_args_is_help=True,
)


@app.callback()
def _train() -> None:
    """Learn from a log: encoders, influences, policies, sequences, rankers."""


app.command()(train_encoder.encoder)
app.command()(train_influence.influence)
app.command()(train_policy.policy)
app.command()(train_ranker.ranker)
app.command()(train_sequence.sequence)
