"""Profiles and their retrieval: the fold, the profile's state, indexes, follower and service.

Importing this package loads neither FAISS nor FastAPI.
"""

from __future__ import annotations

from store.errors import StoreError
from store.policies import Policy
from store.profile import ProfileState, decode_profile, encode_profile, version_of

__all__ = [
    "Policy",
    "ProfileState",
    "StoreError",
    "decode_profile",
    "encode_profile",
    "version_of",
]
