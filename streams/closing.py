"""How aiokafka's consumers and producers are stopped, so that no connection of theirs stays open.

aiokafka 0.14 closes its connections last, so whatever ends its stop before leaves them to the
garbage collector: a broker that does not answer in time, or the cancelling of its own fetch in the
pause before the next try, which it lets out as though its caller had been cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

__all__ = ["close"]

logger = logging.getLogger(__name__)

#: Without a broker the client waits for it.
_STOP_SECONDS = 3.0


async def close(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop it, started or not, and close its connections; what goes wrong is logged.

    Raises:
        CancelledError: the caller was cancelled; connections are closed then, too.
    """
    kind = "reader" if isinstance(client, AIOKafkaConsumer) else "producer"
    try:
        await asyncio.wait_for(client.stop(), _STOP_SECONDS)
    except (KafkaError, TimeoutError) as error:
        logger.warning("a %s did not stop cleanly: %r", kind, error)
    except asyncio.CancelledError:
        # Taken for ours, the cancelling of its own would end the caller's task without a word.
        if _cancelled():
            raise
        logger.warning("a %s did not stop cleanly: its task was waiting for a broker", kind)
    finally:
        await _hang_up(client, kind)


async def _hang_up(client: AIOKafkaConsumer | AIOKafkaProducer, kind: str) -> None:
    """Close what is still connected: nothing, where it stopped as it should."""
    network = client._client if kind == "reader" else client.client  # noqa: SLF001 # no other way
    try:
        await asyncio.wait_for(network.close(), _STOP_SECONDS)
    except TimeoutError:
        logger.warning("the connections of a %s did not close within %.0f s", kind, _STOP_SECONDS)


def _cancelled() -> bool:
    """Whether this task was asked to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
