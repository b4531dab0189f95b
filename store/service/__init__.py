"""Retrieval over HTTP; the one package of the store that imports FastAPI.

Ids in paths are percent-encoded UTF-8 (``a/b`` as ``a%2Fb``, ``..`` as ``%2E%2E``). They may hold
slashes; an id of dots alone must come encoded, and through clients that leave it so.
"""

from __future__ import annotations

from store.service.app import create_app
from store.service.settings import ServiceSettings

__all__ = ["ServiceSettings", "create_app"]
