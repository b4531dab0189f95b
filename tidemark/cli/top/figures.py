"""What is shown, from what the processes showed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.dashboard.figures import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.dashboard.figures import Look

__all__ = ["Seen", "figures"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One process.

    Attributes:
        url: where it was asked.
        before: its look before; None where there is none.
        now: its newest look; None where it does not answer.
        error: why not.
        status: what the retrieval service's /v1/status said.
    """

    url: str
    before: Look | None = None
    now: Look | None = None
    error: str = ""
    status: dict[str, Any] | None = None


def figures(workers: Sequence[Seen], service: Seen | None, at_ms: int) -> dict[str, Any]:
    """All figures, as `tidemark top --once --json` prints them; null where one cannot be told.

    Args:
        workers: the workers.
        service: the retrieval service; None where none is known.
        at_ms: ms since the epoch.
    """
    work, serve = _window(*workers), _window(*([] if service is None else [service]))
    return {
        "at": at_ms,
        "workers": [_worker(one) for one in workers],
        "retrieval": None if service is None else _service(service, serve),
        "throughput": _throughput(work),
        "lag": {
            "records": work.total("tidemark_consumer_lag_records"),
            "seconds": work.highest("tidemark_consumer_lag_seconds"),
        },
        "freshness": _freshness(serve),
        "batches": _batches(work),
        "encoder": _encoder(work),
        "dead_letters": {
            reason: {
                "total": work.total("tidemark_dead_letters_total", reason=reason),
                "per_second": work.rate("tidemark_dead_letters_total", reason=reason),
            }
            for reason in _labels(work, "tidemark_dead_letters_total", "reason")
        },
        "index": {
            index: {
                "vectors": serve.total("tidemark_index_vectors", index=index),
                "recall": _recall(serve, index),
                "search_p99_seconds": serve.quantile(
                    "tidemark_index_search_seconds", 0.99, index=index
                ),
            }
            for index in _labels(serve, "tidemark_index_vectors", "index")
        },
        "quality": _quality(serve, {} if service is None else service.status or {}),
    }


def _window(*processes: Seen) -> Window:
    """What those of them say that answer."""
    return Window({one.url: (one.before, one.now) for one in processes if one.now is not None})


def _recall(serve: Window, index: str) -> float | None:
    """The least that a replica says; None where all look at everything."""
    told = serve.readings("tidemark_index_recall")
    return min((one.value for one in told if one.labels.get("index") == index), default=None)


def _labels(window: Window, name: str, label: str) -> list[str]:
    """What values a label has."""
    return list(window.totals(name, label) or {})


def _worker(seen: Seen) -> dict[str, Any]:
    own = _window(seen)
    return {
        "url": seen.url,
        "up": seen.now is not None,
        "error": seen.error or None,
        "partitions": own.total("tidemark_assigned_partitions"),
        "profiles": own.total("tidemark_profiles"),
        "actions_per_second": own.rate("tidemark_actions_total", outcome="applied"),
        "lag_records": own.total("tidemark_consumer_lag_records"),
        "stalled_seconds": own.total("tidemark_stalled_seconds"),
        "cpu_ratio": own.total("tidemark_device_utilization_ratio", device="cpu"),
        "memory_bytes": own.total("process_resident_memory_bytes"),
    }


def _service(seen: Seen, serve: Window) -> dict[str, Any]:
    status = seen.status or {}
    return {
        "url": seen.url,
        "up": seen.now is not None,
        "error": seen.error or None,
        "ready": status.get("ready"),
        "reason": status.get("reason") or status.get("health_reason") or None,
        "generation": status.get("generation"),
        "lag_records": status.get("lag"),
        "requests_per_second": serve.rate("tidemark_retrieval_requests_total"),
        "request_p99_seconds": serve.quantile("tidemark_retrieval_request_seconds", 0.99),
    }


def _throughput(work: Window) -> dict[str, Any]:
    return {
        "actions_per_second": work.rate("tidemark_actions_total", outcome="applied"),
        "by_type": {
            kind: work.rate("tidemark_actions_total", outcome="applied", type=kind)
            for kind in _labels(work, "tidemark_actions_total", "type")
        },
        "skipped_per_second": {
            outcome: work.rate("tidemark_actions_total", outcome=outcome)
            for outcome in _labels(work, "tidemark_actions_total", "outcome")
            if outcome != "applied"
        },
    }


def _freshness(serve: Window) -> dict[str, Any]:
    within = serve.rate("tidemark_freshness_profiles_total", within_slo="true") or 0.0
    beyond = serve.rate("tidemark_freshness_profiles_total", within_slo="false") or 0.0
    return {
        "p50_seconds": serve.quantile("tidemark_freshness_seconds", 0.5),
        "p99_seconds": serve.quantile("tidemark_freshness_seconds", 0.99),
        "within_slo_ratio": within / (within + beyond) if within + beyond else None,
        "slo_seconds": serve.total("tidemark_freshness_slo_seconds"),
        "objective_ratio": serve.total("tidemark_freshness_objective_ratio"),
    }


def _batches(work: Window) -> dict[str, Any]:
    stages = ("batch_fill", "prepare", "encode", "fold", "publish", "commit")
    return {
        "per_second": work.rate("tidemark_batch_actions_count"),
        "actions_p50": work.quantile("tidemark_batch_actions", 0.5),
        **{f"{one}_p50_seconds": work.quantile(f"tidemark_{one}_seconds", 0.5) for one in stages},
    }


def _encoder(work: Window) -> dict[str, Any]:
    return {
        "texts_per_second": work.rate("tidemark_texts_requested_total"),
        "encoded_per_second": work.rate("tidemark_texts_encoded_total"),
        "cache_hit_ratio": work.share("tidemark_cache_hits_total", "tidemark_cache_misses_total"),
        "padding_ratio": work.share("tidemark_padding_tokens_total", "tidemark_tokens_total"),
        "busy_ratio": work.rate("tidemark_encoder_busy_seconds_total"),
        "failures": work.total("tidemark_encode_failures_total"),
    }


def _quality(serve: Window, status: dict[str, Any]) -> dict[str, Any]:
    """Since the start: it is sampled, and a few seconds have too few trials."""
    trials = serve.total("tidemark_online_recall_trials_total") or 0.0

    def recall(ranking: str) -> float | None:
        hits = serve.total("tidemark_online_recall_hits_total", ranking=ranking)
        return None if hits is None or not trials else hits / trials

    return {
        "trials": trials,
        "recall_at_10": recall("served"),
        "nearest_recall_at_10": recall("profile"),
        "popularity_recall_at_10": recall("popularity"),
        "drift_p50": serve.quantile("tidemark_profile_drift", 0.5),
        "choices_counted": serve.total("tidemark_ranking_choices_counted_total"),
        # with those before the start, which a snapshot kept
        "ranking_steps": (status.get("ranking") or {}).get("steps"),
    }
