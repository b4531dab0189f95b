"""What foretells a user's next item from the ones before it.

`histories` and `chunks` are NumPy alone; `id_nets` and `id_model` are the baselines SASRec and
GRU4Rec, which know items by their numbers; `profile_net` and `profile_training` are the profile
function, which knows items by their vectors.
"""

from __future__ import annotations

__all__: list[str] = []
