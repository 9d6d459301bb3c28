"""Spans and their names."""

from .tracing import TraceStore, agent_span, chat_span, score_event, traceparent, workflow_span

__all__ = ["TraceStore", "agent_span", "chat_span", "score_event", "traceparent", "workflow_span"]
