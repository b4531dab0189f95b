"""An embedded broker for the tests that run real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.brokers import ChildBroker, start_embedded


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildBroker]:
    with start_embedded(tmp_path_factory.mktemp("broker")) as running:
        yield running
