"""What vLLM's ``/metrics`` says, of the few numbers that matter to a block."""

from __future__ import annotations

import math
import re

from ._base import EngineMetrics

#: A sample line: its name, its labels if any (their values may hold any character), its value, perhaps a timestamp.
_SAMPLE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|num_preemptions_total"
    r'|prefix_cache_queries_total|prefix_cache_hits_total)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+(\S+)',
    re.MULTILINE,
)


def parse(text: str) -> EngineMetrics | None:
    """Read Prometheus' text format; None when it does not say how busy vLLM is.

    A server may run several engines (data parallel): what they count is added up, of their caches the fullest is told.
    A value that is not a number is as good as absent. Without a prefix cache nothing was looked up in it.
    """
    found: dict[str, list[float]] = {}
    for name, said in _SAMPLE.findall(text):
        try:
            value = float(said)
        except ValueError:
            continue
        if math.isfinite(value):
            found.setdefault(name, []).append(value)
    if not {"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "num_preemptions_total"} <= set(
        found
    ):
        return None
    return EngineMetrics(
        running=sum(found["num_requests_running"]),
        waiting=sum(found["num_requests_waiting"]),
        kv_cache_usage=max(found["kv_cache_usage_perc"]),
        preemptions=sum(found["num_preemptions_total"]),
        prefix_cache_queries=sum(found.get("prefix_cache_queries_total", [])),
        prefix_cache_hits=sum(found.get("prefix_cache_hits_total", [])),
    )
