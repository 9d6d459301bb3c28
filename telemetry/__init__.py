"""OpenTelemetry: span and attribute names, the tracer, and the trace files of a run.

Objectives and reports are not computed from spans but from blocks, in ``orkester.evals``.
"""

from .tracing import (
    TraceStore,
    agent_span,
    chat_span,
    collect_chat_spans,
    route_event,
    traceparent,
    workflow_span,
)

__all__ = [
    "TraceStore",
    "agent_span",
    "chat_span",
    "collect_chat_spans",
    "route_event",
    "traceparent",
    "workflow_span",
]
