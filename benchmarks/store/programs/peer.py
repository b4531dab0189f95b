"""Holds profiles in one of the engines and does what each line of standard input says.

python peer.py '{"engine": …, "folder": …, "profiles": FILE.npy, "rows": FILE.npy,
                 "updates": FILE.npy, "queries": FILE.npy}'

Updates are batches of 256 profiles that are there; they are done one after another, and from the
beginning again after the last.
"""

import contextlib
import gc
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
from engines import ENGINES, FairLock

BATCH = 256


def memory():
    gc.collect()
    numbers = Path("/proc/self/statm").read_text().split()
    resident, shared = int(numbers[1]), int(numbers[2])
    return (resident - shared) * 4096  # without pages of files


class Peer:
    def __init__(self, given):
        self.keys = [f"user-{row}" for row in range(np.load(given["profiles"], "r").shape[0])]
        self.rows = np.load(given["rows"])
        self.updates = np.load(given["updates"], "r")
        self.queries = np.load(given["queries"])
        self.written = 0  # batches so far
        dim = self.queries.shape[1]
        engine = ENGINES[given["engine"]]
        self.lock = FairLock() if engine.locked else contextlib.nullcontext()
        profiles = np.load(given["profiles"])
        before = memory()
        self.engine = engine(dim, given["folder"])
        started = time.perf_counter()
        self.engine.fill(self.keys, profiles)
        if hasattr(self.engine, "settle"):
            self.engine.settle(given["settle_s"], self.queries)
        self.built = {
            "build_s": time.perf_counter() - started,
            "bytes": memory() - before,
            "efforts": self.engine.efforts,
        }

    def batch(self):
        number = self.written % len(self.updates)
        self.written += 1
        return [self.keys[row] for row in self.rows[number]], np.array(self.updates[number])

    def tune(self, effort):
        if effort is not None:
            self.engine.tune(effort)
        return {}

    def find(self):
        """The keys for every query."""
        return {"found": [self.engine.search(query) for query in self.queries]}

    def upserts(self, batches, seconds):
        """As fast as it can, so many batches, or fewer where they take longer."""
        waiting = [self.batch() for _ in range(batches)]
        done, started = 0, time.perf_counter()
        for keys, vectors in waiting:
            self.engine.upsert(keys, vectors)
            done += 1
            if time.perf_counter() - started > seconds:
                break
        passed = time.perf_counter() - started
        self.written -= batches - done
        return {"rate": done * BATCH / passed, "written": self.written}

    def searches(self, seconds):
        """One after another; whoever asks pauses in between, for any time up to 20 ms."""
        took, random = [], np.random.default_rng(self.written)
        ends = time.perf_counter() + seconds
        while (now := time.perf_counter()) < ends:
            with self.lock:
                self.engine.search(self.queries[len(took) % len(self.queries)])
            took.append(time.perf_counter() - now)
            time.sleep(random.uniform(0, 0.02))
        return {"took": took}

    def mixed(self, seconds, rate):
        """Searches while batches are due by a clock; late ones follow as soon as they can."""
        stopping, keys_written, error = threading.Event(), [0], []

        def write():
            try:
                begun = time.perf_counter()
                number = 0
                while not stopping.is_set():
                    keys, vectors = self.batch()
                    number += 1
                    time.sleep(max(0.0, begun + number * BATCH / rate - time.perf_counter()))
                    for start in range(0, BATCH, self.engine.chunk):
                        some = slice(start, start + self.engine.chunk)
                        with self.lock:
                            self.engine.upsert(keys[some], vectors[some])
                        keys_written[0] += len(keys[some])
            except Exception as failure:  # noqa: BLE001 # raised again below
                error.append(failure)

        writer = threading.Thread(target=write)
        started = time.perf_counter()
        writer.start()
        try:
            found = self.searches(seconds)
            in_time, passed = keys_written[0], time.perf_counter() - started
        finally:
            stopping.set()
            writer.join()  # its last batch is completed
        if error:
            raise error[0]
        return {**found, "rate": in_time / passed, "written": self.written}


if __name__ == "__main__":
    peer = Peer(json.loads(sys.argv[1]))
    print(json.dumps({"done": peer.built}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"done": getattr(peer, asked.pop("do"))(**asked)}), flush=True)
