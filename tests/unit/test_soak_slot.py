"""How the end of a soak's worker is judged, and what is read of its metrics."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streams.health import Health
from streams.health_server import HealthServer
from streams.metrics import PrometheusSensor
from streams.processes import Child
from tidemark.soak.control import ControlFile
from tidemark.soak.slot import WorkerSlot, metric, stop_problem
from tidemark.soak.system import SoakSystem
