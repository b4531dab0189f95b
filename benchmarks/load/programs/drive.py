"""Clients of a retrieval service in Locust: candidates, audience and search at once.

Run by path, with one argument in JSON; prints the times of all answers in JSON. Requests are sent
by a timetable: one that is answered late does not put off the others but those of its own client.
"""

import json
import os
import random
import sys
import time
from collections import defaultdict
from urllib.parse import quote
from urllib.request import Request, urlopen

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402
from locust import FastHttpUser, constant, constant_throughput, events, task  # noqa: E402
from locust.env import Environment  # noqa: E402

GIVEN = json.loads(sys.argv[1])
HEADERS = {"Content-Type": "application/json"}
if token := os.environ.get("TIDEMARK_CLIENT__TOKEN"):
    HEADERS["Authorization"] = f"Bearer {token}"
#: What is searched for.
WORDS = [
    "space",
    "horror",
    "wedding",
    "summer",
    "war",
    "love",
    "city",
    "night",
    "river",
    "king",
    "ghost",
    "train",
    "winter",
    "island",
]
KNOWN = {"profiles": [], "items": []}
TIMES = defaultdict(list)  # ms, by endpoint
FAILED = defaultdict(int)
counting = False


@events.request.add_listener
def on_request(name, response_time, exception, **_):
    if not counting:
        return
    if exception is None:
        TIMES[name].append(response_time)
    else:
        FAILED[f"{name}: {str(exception)[:120]}"] += 1


class Client(FastHttpUser):
    rate = GIVEN["rate"] / GIVEN["clients"]
    wait_time = constant_throughput(rate) if rate else constant(0)
    network_timeout = connection_timeout = 30.0

    @task(6)
    def candidates(self):
        user = quote(random.choice(KNOWN["profiles"]), safe="")
        path = f"/v1/users/{user}/candidates?k=100"
        self.client.get(path, headers=HEADERS, name="candidates, k=100")

    @task(2)
    def audience(self):
        item = quote(random.choice(KNOWN["items"]), safe="")
        self.client.get(f"/v1/items/{item}/audience?k=100", headers=HEADERS, name="audience, k=100")

    @task(2)
    def by_text(self):
        asked = json.dumps({"text": " ".join(random.sample(WORDS, 3)), "k": 20})
        self.client.post("/v1/search", data=asked, headers=HEADERS, name="search items, k=20")


def learn():
    """Whom and what there is: who and what is near to some words."""
    for within, key in (("profiles", "user_id"), ("items", "item_id")):
        for word in WORDS:
            asked = json.dumps({"text": word, "k": 1000, "in": within}).encode()
            request = Request(f"{GIVEN['url']}/v1/search", asked, HEADERS)  # noqa: S310
            with urlopen(request, timeout=30) as answer:  # noqa: S310
                KNOWN[within] += [one[key] for one in json.load(answer)[within]]


learn()
random.seed(7)
environment = Environment(user_classes=[Client], host=GIVEN["url"], events=events)
runner = environment.create_local_runner()
runner.start(GIVEN["clients"], spawn_rate=GIVEN["clients"])
gevent.sleep(GIVEN["warm_up_seconds"])
counting, began = True, time.monotonic()
gevent.sleep(GIVEN["seconds"])
counting, seconds = False, time.monotonic() - began
runner.quit()
print(json.dumps({"seconds": seconds, "times_ms": TIMES, "failed": FAILED}))
