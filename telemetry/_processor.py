"""What becomes of a span that has ended."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

#: Spans in one line of the file. The encoder makes some hundred objects of each span; when many live at once, Python's
#: garbage collector takes as long as the encoder.
_LINE = 64


class UntilFlushed(SpanProcessor):
    """Keeps ended spans until it is flushed, and writes them then.

    The SDK's own processor writes on a thread while calls are under way, so that the time it takes falls into the
    window of a measurement.

    Args:
        exporter: writes.
        most: spans kept; when there are so many they are written at once.
    """

    def __init__(self, exporter: SpanExporter, *, most: int = 2**14) -> None:
        self._exporter = exporter
        self._most = most
        self._ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """See ``SpanProcessor``."""
        self._ended.append(span)
        if len(self._ended) >= self._most:
            self.force_flush()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See ``SpanProcessor``."""
        del timeout_millis
        ended, self._ended = self._ended, []
        for first in range(0, len(ended), _LINE):
            self._exporter.export(ended[first : first + _LINE])
        return True

    def shutdown(self) -> None:
        """See ``SpanProcessor``."""
        self.force_flush()
        self._exporter.shutdown()
