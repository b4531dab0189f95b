"""A real Prometheus on real processes, configured as it is deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import yaml
from prometheus_files import PROMETHEUS, RULE_FILES, program
from system_helpers import wait_until

from streams.processes import Child, free_port

#: Of scraping and of evaluating rules.
INTERVAL = "1s"


class PrometheusServer:
    """Debian's Prometheus with ``deploy/prometheus/prometheus.yaml``.

    What differs is where the targets are (a file instead of DNS), how often they are scraped, the
    file with the token, and how the text of the rules is changed.

    Args:
        folder: for its data and log.
        targets: addresses by job.
        token: that the retrieval services let in; None where they let in everyone.
        change: applied to the text of each file of rules.
    """

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, Sequence[str]],
        *,
        token: str | None = None,
        change: Any = lambda text: text,
    ) -> None:
        folder.mkdir(parents=True)
        for path in RULE_FILES:
            (folder / path.name).write_text(change(path.read_text()))
        config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
        config["global"] |= {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
        jobs = {job["job_name"]: job for job in config["scrape_configs"]}
        config["scrape_configs"] = []
        for name, addresses in targets.items():
            kind = "tidemark-worker" if name.startswith("tidemark-worker") else "tidemark-retrieval"
            job = dict(jobs[kind], job_name=name)
            del job["dns_sd_configs"]
            if "authorization" in job and token is not None:
                (folder / "token").write_text(token)
                job["authorization"] = {"type": "Bearer", "credentials_file": "token"}
            elif "authorization" in job:
                del job["authorization"]
            job["file_sd_configs"] = [{"files": [f"{name}.json"], "refresh_interval": "1s"}]
            config["scrape_configs"].append(job)
            self._write_targets(folder / f"{name}.json", addresses)
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        port = free_port()
        self.folder = folder
        self.process = Child(
            "prometheus",
            [
                str(program("prometheus")),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            folder / "prometheus.log",
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20.0)

    @staticmethod
    def _write_targets(path: Path, addresses: Sequence[str]) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps([{"targets": list(addresses)}]))
        new.replace(path)

    def retarget(self, job: str, addresses: Sequence[str]) -> None:
        """A job has these targets from now on, as where the DNS answers differently."""
        self._write_targets(self.folder / f"{job}.json", addresses)

    def __enter__(self) -> Self:
        try:
            wait_until(self._answers, check=self.process.check)
        except BaseException:
            self.process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self.process.stop()

    def _answers(self) -> bool:
        try:
            return self._http.get("/query", params={"query": "1"}).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False  # it does not listen yet

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        answer = self._http.get("/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        found = answer["data"]["result"]
        return found if isinstance(found, list) else [found]

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that fire, each with labels and annotations."""
        alerts = self._http.get("/alerts").json()["data"]["alerts"]
        return [one for one in alerts if one["state"] == "firing"]

    def firing(self) -> set[str]:
        """Their names."""
        return {one["labels"]["alertname"] for one in self.alerts()}

    def failed_rules(self) -> list[str]:
        """Rules whose evaluation failed, with the error."""
        groups = self._http.get("/rules").json()["data"]["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}"
            for group in groups
            for rule in group["rules"]
            if rule["health"] == "err"
        ]
