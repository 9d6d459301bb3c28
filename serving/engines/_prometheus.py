"""Reads vLLM's ``/metrics`` page: the few numbers that describe the engine's load during a block."""

from __future__ import annotations

import math
import re

from ._base import EngineMetrics

#: A sample line: name, optional labels (whose values may contain any character), value, optional timestamp.
_SAMPLE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|num_preemptions_total"
    r'|prefix_cache_queries_total|prefix_cache_hits_total)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+(\S+)',
    re.MULTILINE,
)
_REQUIRED = {"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "num_preemptions_total"}


def parse(text: str) -> EngineMetrics | None:
    """Read a page in Prometheus' text format.

    A server may run several engines (data parallel). Their counts are added; for the cache usage, the highest value
    counts. A value that is not a finite number is ignored. Without a prefix cache, its queries and hits are 0.

    Args:
        text: The page.

    Returns:
        The engine's load; None if the page lacks a number that every version of vLLM reports.
    """
    values: dict[str, list[float]] = {}
    for name, value_text in _SAMPLE.findall(text):
        try:
            value = float(value_text)
        except ValueError:
            continue
        if math.isfinite(value):
            values.setdefault(name, []).append(value)
    if not values.keys() >= _REQUIRED:
        return None
    return EngineMetrics(
        running=sum(values["num_requests_running"]),
        waiting=sum(values["num_requests_waiting"]),
        kv_cache_usage=max(values["kv_cache_usage_perc"]),
        preemptions=sum(values["num_preemptions_total"]),
        prefix_cache_queries=sum(values.get("prefix_cache_queries_total", [])),
        prefix_cache_hits=sum(values.get("prefix_cache_hits_total", [])),
    )
