"""``tidemark worker`` and ``tidemark retrieval``: one process each."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from tidemark.cli.bars import Counts, RestoreBar
from tidemark.cli.common import (
    Bootstrap,
    ConfigFile,
    LogLevelOption,
    StateFolder,
    fail,
    load,
)
from tidemark.cli.inspect import inspect

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from encoders import EncoderService, TextEncoder
    from streams.worker import Worker
    from tidemark.settings import Settings

__all__ = ["WorkerSeams", "retrieval_app", "run_worker", "worker"]

# Before torch is loaded. OpenMP's threads wait for each other by spinning, which costs when another
# process wants the cores, as the broker and other service do: 150 texts/s, against 232 passive
# (medians of five, paired, 2 threads on 2 cores). With the cores to itself it costs: 360 to 308.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

logger = logging.getLogger(__name__)
#: How long a worker may take to finish what is in flight.
_STOP_SECONDS = 9.0
#: And how long, of this, its encoder may take for the call it is in.
_CLOSE_SECONDS = 2.0
#: New objects before the collector looks at the new ones; 700 in CPython.
_COLLECT_AFTER = 50_000
_DEFAULT_STATE = Path(".tidemark")


class WorkerSeams(TypedDict, total=False):
    """Where a worker can be made to fail; see `tidemark.compose.worker.build_worker`."""

    wrap_encoder: Callable[[TextEncoder], TextEncoder] | None
    clock: Callable[[], int]


def worker(
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(help="Serve /healthz, /readyz and /metrics on this port.", show_default=False),
    ] = None,
    state: StateFolder = _DEFAULT_STATE,
    log_level: LogLevelOption = None,
) -> None:
    """Consume actions, encode them, and publish fresh profiles.

    Any number of workers share the partitions. SIGTERM finishes what is in flight.
    """
    settings = load(
        config,
        kafka={"bootstrap": bootstrap},
        worker={"metrics_port": metrics_port},
        logging={"level": log_level},
    )
    run_worker(settings, state)


def run_worker(settings: Settings, state: Path, **seams: Unpack[WorkerSeams]) -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    Args:
        settings: of everything.
        state: for what it writes.
        seams: as for `tidemark.compose.worker.build_worker`; tests put failures there.

    Raises:
        StreamsError, StoreError, EncoderError: it cannot begin, or cannot go on.
    """
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 # see tidemark.cli.common

    from streams.batch_id import current_batch  # noqa: PLC0415
    from streams.health import Health  # noqa: PLC0415
    from streams.health_server import HealthServer  # noqa: PLC0415
    from streams.processes import require_free_port  # noqa: PLC0415
    from tidemark.logs import setup_logging, tell_no_tracebacks  # noqa: PLC0415
    from tidemark.tracing import open_tracer  # noqa: PLC0415

    setup_logging(settings.logging.level, settings.logging.format, ids=current_batch)
    metrics = settings.worker
    if metrics.metrics_port is not None:
        require_free_port(metrics.metrics_host, metrics.metrics_port, "--metrics-port")
    from tidemark.compose.worker import build_worker  # noqa: PLC0415 # loads faust and the model

    registry, health = CollectorRegistry(), Health()
    with ExitStack() as serving:
        if metrics.metrics_port is not None:
            serving.enter_context(
                HealthServer(health, registry, metrics.metrics_host, metrics.metrics_port)
            )
        tracer = serving.enter_context(open_tracer(settings.tracing, "worker"))
        running, encoding = build_worker(settings, registry, state, health, tracer=tracer, **seams)
        _spare_the_collector()
        if settings.logging.format == "text":
            serving.enter_context(RestoreBar("restoring profiles", lambda: health.restoring))
        _run_until_stopped(running, tell_no_tracebacks)
    if not _closes(encoding):
        # All that counts is done: what the encoder still works on was never acknowledged.
        logger.warning("the encoder did not end within %.0f s; leaving", _CLOSE_SECONDS)
        logging.shutdown()
        os._exit(0)
    logger.info("stopped")


def _spare_the_collector() -> None:
    """Keep the cycle collector from looking again and again at what is there for good.

    Fetched records live for a moment, thousands at a time and in no cycle; the collector took
    their number for a reason to visit every object of torch, Faust and the others, which was half
    of what a busy worker did.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)


def _run_until_stopped(running: Worker, on_failure: Callable[[], None]) -> None:
    """Run until SIGTERM or SIGINT; whatever ends it, the process ends in time."""

    def leave_in_time(reason: Exception | None = None) -> None:
        last = threading.Timer(_STOP_SECONDS, _leave, [reason])
        last.daemon = True
        last.start()

    async def run() -> None:
        stopping = asyncio.Event()

        def stop() -> None:
            if stopping.is_set():
                os._exit(1)  # asked twice
            stopping.set()
            leave_in_time()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        try:
            await running.run(stopping)
        except Exception as error:
            # What it failed of may also keep a thread, and with it the process.
            leave_in_time(error)
            on_failure()
            raise

    asyncio.run(run())


def _closes(encoding: EncoderService) -> bool:
    """Close the encoder; whether it ended in time. A call that hangs is not waited for."""
    closing = threading.Thread(target=encoding.close, name="encoder-close", daemon=True)
    closing.start()
    closing.join(_CLOSE_SECONDS)
    return not closing.is_alive()


def _leave(reason: Exception | None) -> None:
    """End at once: without a broker, Faust and the Kafka clients would wait for it."""
    logger.error(
        "not stopped within %.0f s; leaving. What was not committed is read again", _STOP_SECONDS
    )
    if reason is not None:
        fail(str(reason))
    logging.shutdown()
    os._exit(1)


def retrieval(
    context: typer.Context,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    host: Annotated[
        str | None, typer.Option(help="Address to serve on.", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve on.", show_default=False)] = None,
    upcoming: Annotated[
        Path | None,
        typer.Option(
            "--next",
            help="Settings file of the next generation, by another encoder or policy: followed "
            "beside this one, and answers once it has caught up. See docs/generations.md.",
            show_default=False,
        ),
    ] = None,
    state: StateFolder = _DEFAULT_STATE,
    log_level: LogLevelOption = None,
) -> None:
    """Follow the profiles and answer queries over HTTP."""
    if context.invoked_subcommand is not None:
        return
    from store.service.context import current_request  # noqa: PLC0415
    from streams.processes import require_free_port  # noqa: PLC0415 # see tidemark.cli.common
    from tidemark.certificates import require_certificate  # noqa: PLC0415
    from tidemark.logs import setup_logging  # noqa: PLC0415
    from tidemark.tracing import open_tracer  # noqa: PLC0415

    settings = load(
        config,
        kafka={"bootstrap": bootstrap},
        retrieval={"host": host, "port": port},
        logging={"level": log_level},
    )
    setup_logging(settings.logging.level, settings.logging.format, ids=current_request)
    served = settings.retrieval
    require_free_port(served.host, served.port, "--port")
    served.require_protection()
    require_certificate(served.cert_file, served.key_file)
    if served.tokens and served.cert_file is None and not served.on_loopback:
        logger.warning(
            "tokens and answers travel in plain text: set retrieval.cert_file and key_file, or "
            "serve on 127.0.0.1 behind a proxy on this machine that does TLS"
        )
    # Only this command needs FastAPI and uvicorn.
    from store.service.server import serve  # noqa: PLC0415
    from tidemark.compose.retrieval import build_retrieval  # noqa: PLC0415

    following = None
    if upcoming is not None:
        following = load(upcoming, kafka={"bootstrap": bootstrap})
    with open_tracer(settings.tracing, "retrieval") as tracer:
        counts = Counts()
        with ExitStack() as serving:
            if settings.logging.format == "text":
                serving.enter_context(RestoreBar("reading profiles and items", counts.look))
            app, close = build_retrieval(
                settings, state, following, tracer=tracer, on_restoring=counts.tell
            )
            serving.callback(close)
            _spare_the_collector()
            serve(
                app,
                host=served.host,
                port=served.port,
                ssl_certfile=served.cert_file,
                ssl_keyfile=served.key_file,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )


retrieval_app = typer.Typer(invoke_without_command=True)
retrieval_app.callback()(retrieval)
retrieval_app.command("inspect")(inspect)
