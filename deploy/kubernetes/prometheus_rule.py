"""Write Prometheus' rules as the operator takes them: python -m deploy.kubernetes.prometheus_rule.

The rules are in deploy/prometheus; components/monitoring/prometheus-rule.yaml holds the same, made
by this. kustomize cannot put a file into a field, so it is a copy, and a test holds it to be one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

__all__ = ["TARGET", "prometheus_rule", "rendered"]

_DEPLOY = Path(__file__).parents[1]
_SOURCES = ("recording-rules.yaml", "alerts.yaml")
#: Where it is written.
TARGET = _DEPLOY / "kubernetes/components/monitoring/prometheus-rule.yaml"
_HEADER = """\
# Made of deploy/prometheus by: python -m deploy.kubernetes.prometheus_rule
# Change the rules there.
"""


def prometheus_rule() -> dict[str, Any]:
    """The resource: every group of the rule files, in their order."""
    groups: list[Any] = []
    for name in _SOURCES:
        groups += yaml.safe_load((_DEPLOY / "prometheus" / name).read_text())["groups"]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tidemark", "namespace": "tidemark"},
        "spec": {"groups": groups},
    }


def rendered() -> str:
    """The file's text."""
    text: str = yaml.safe_dump(prometheus_rule(), sort_keys=False, width=120, allow_unicode=True)
    return _HEADER + text


if __name__ == "__main__":
    TARGET.write_text(rendered())
