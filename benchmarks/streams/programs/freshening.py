"""What one would write by hand: sentence-transformers, a dictionary of averages, FAISS by id."""

import json
from pathlib import Path

import faiss
import numpy as np
from sentence_transformers import SentenceTransformer

K = np.float32(0.9)


class Freshening:
    """Profiles by user number, and the index that finds them.

    model: folder of the model. texts: JSON file, the text of every item.
    """

    def __init__(self, model, texts):
        self._model = SentenceTransformer(model, device="cpu")
        self._texts = json.loads(Path(texts).read_text())
        self._profiles = {}
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(384))

    def update(self, actions):
        """Fold (user, item) pairs in, in order."""
        texts = [self._texts[item] for _, item in actions]
        vectors = self._model.encode(
            texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False
        )
        for (user, _), vector in zip(actions, vectors, strict=True):
            held = self._profiles.get(user)
            self._profiles[user] = vector if held is None else K * held + (1 - K) * vector
        users = np.array(sorted({user for user, _ in actions}), np.int64)
        profiles = np.stack([self._profiles[user] for user in users.tolist()])
        faiss.normalize_L2(profiles)
        self._index.remove_ids(users)
        self._index.add_with_ids(profiles, users)
