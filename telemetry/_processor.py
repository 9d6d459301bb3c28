"""The span processor of a study: it keeps ended spans in memory and writes them between measurements."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

#: The number of spans in one line of the file. The encoder makes about a hundred objects for each span. If very many
#: of these objects exist at once, Python's garbage collector needs as much time as the encoder.
_SPANS_PER_LINE = 64


class BufferedSpanProcessor(SpanProcessor):
    """Keeps ended spans in memory and writes them when it is flushed.

    The SDK's own processor writes on a thread while calls are running, so its CPU time would be part of the
    measurement window.

    Args:
        exporter: The exporter that writes the spans.
        max_spans: The number of spans in memory at which they are written without waiting for a flush.
    """

    def __init__(self, exporter: SpanExporter, *, max_spans: int = 2**14) -> None:
        self._exporter = exporter
        self._max_spans = max_spans
        self._ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """See ``SpanProcessor``."""
        self._ended.append(span)
        if len(self._ended) >= self._max_spans:
            self.force_flush()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See ``SpanProcessor``."""
        del timeout_millis
        ended, self._ended = self._ended, []
        for first in range(0, len(ended), _SPANS_PER_LINE):
            self._exporter.export(ended[first : first + _SPANS_PER_LINE])
        return True

    def shutdown(self) -> None:
        """See ``SpanProcessor``."""
        self.force_flush()
        self._exporter.shutdown()
