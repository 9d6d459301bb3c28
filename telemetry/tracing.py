"""Spans: what opens them, and the file they end in.

Everything here goes through OpenTelemetry's API, so without an SDK set up the spans cost next to nothing. A study
opens a ``TraceStore``, which brings a tracer provider of its own: the process's global provider, which may belong to
the application that imports Orkester, is left alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Tracer

from orkester.errors import OrkesterError

from . import attributes as names

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_SCOPE = "orkester"
#: The tracer of the example under way; a context variable, so that concurrent studies do not meet.
_tracer: ContextVar[Tracer | None] = ContextVar("orkester_tracer", default=None)

_noted: ContextVar[list[SpanContext] | None] = ContextVar("orkester_noted", default=None)


def current_tracer() -> Tracer:
    """The study's tracer inside an example, the process's own elsewhere."""
    return _tracer.get() or trace.get_tracer(_SCOPE)


def workflow_span(topology: str, *, team: str) -> AbstractContextManager[Span]:
    """Around one run of a team's graph."""
    return current_tracer().start_as_current_span(
        f"invoke_workflow {topology}",
        attributes={
            names.OPERATION_NAME: "invoke_workflow",
            names.WORKFLOW_NAME: topology,
            names.TEAM_ID: team,
            names.OPENINFERENCE_KIND: "CHAIN",
        },
    )


def agent_span(agent: str, *, model: str) -> AbstractContextManager[Span]:
    """Around one turn of an agent."""
    return current_tracer().start_as_current_span(
        f"invoke_agent {agent}",
        attributes={
            names.OPERATION_NAME: "invoke_agent",
            names.AGENT_NAME: agent,
            names.GRAPH_NODE: agent,
            names.REQUEST_MODEL: model,
        },
    )


@contextmanager
def chat_span(model: str, attributes: Mapping[str, Any]) -> Iterator[Span]:
    """Around one model call with its retries; the caller adds usage when it knows it."""
    with current_tracer().start_as_current_span(
        f"chat {model}",
        kind=SpanKind.CLIENT,
        attributes={names.OPERATION_NAME: "chat", names.REQUEST_MODEL: model, **attributes},
    ) as span:
        if (noted := _noted.get()) is not None:
            noted.append(span.get_span_context())
        yield span


@contextmanager
def noting_chat_spans() -> Iterator[list[SpanContext]]:
    """The contexts of the ``chat`` spans that are opened within, however their calls end."""
    noted: list[SpanContext] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


class _SpanFile:
    """The exporter's stream. What goes wrong is kept, not raised: the exporter would log a traceback and go on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault: OSError | None = None
        self._file = path.open("ab", buffering=0)

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, text: str) -> None:
        """Append whole lines, or nothing."""
        end = self._file.seek(0, os.SEEK_END)
        left = memoryview(text.encode())
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self.fault = error
            self._file.truncate(end)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        self._file.close()


class TraceStore:
    """Writes the spans of one study as OTLP JSON lines, one file per process that worked on it.

    Args:
        directory: made if absent; the file is ``spans-NNNN.jsonl``, numbered after the last that is there, and
            beside it ``energy-NNNN.jsonl``, the energy table, once there is energy.
        study: name of the study.
    """

    def __init__(self, directory: Path, *, study: str) -> None:
        self._directory = directory
        self._study = study
        self._provider: TracerProvider | None = None
        self._file: _SpanFile | None = None
        self._energy: _SpanFile | None = None
        self._study_context: SpanContext | None = None
        self._study_span: Span | None = None

    def __enter__(self) -> TraceStore:
        from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        from ._processor import UntilFlushed

        self._directory.mkdir(parents=True, exist_ok=True)
        taken = [path.stem.removeprefix("spans-") for path in self._directory.glob("spans-*.jsonl")]
        number = max((int(number) + 1 for number in taken if number.isdecimal()), default=0)
        self._file = _SpanFile(self._directory / f"spans-{number:04d}.jsonl")
        resource = Resource.create({"service.name": "orkester", names.OPENINFERENCE_PROJECT: self._study})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = FileSpanExporter(stream=cast("IO[str]", self._file))
        self._provider.add_span_processor(UntilFlushed(exporter))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._study_span is not None:
            self._study_span.end()
        if self._provider is not None:
            self._provider.shutdown()
        for file in (self._file, self._energy):
            if file is not None:
                file.close()

    def tracer(self) -> Tracer:
        """The tracer that writes here.

        Raises:
            RuntimeError: the store has not been entered.
        """
        if self._provider is None:
            raise RuntimeError("enter the TraceStore before asking it for a tracer")
        return self._provider.get_tracer(_SCOPE)

    def flush(self) -> None:
        """Put every ended span on disk; called when a block ends.

        Raises:
            OrkesterError: some could not be written (disk full, say).
        """
        if self._provider is not None:
            self._provider.force_flush()
        for file in (self._file, self._energy):
            if file is not None and file.fault is not None:
                fault, file.fault = file.fault, None
                raise OrkesterError(
                    f"{file.path}: the trace could not be written: {fault.strerror}. Make room and run the same "
                    "command again: it goes on from the last block on disk"
                ) from fault

    def energy(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add to the energy table; a fault is raised by the next ``flush``.

        Joules are known when a window ends, after its spans, so they stand in a table of their own, which joins the
        spans by ``trace_id`` and ``span_id``.

        Args:
            rows: JSON values by column.
        """
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        if not text or self._file is None:
            return
        if self._energy is None:
            name = self._file.path.name.replace("spans", "energy")
            self._energy = _SpanFile(self._file.path.with_name(name))
        self._energy.write(text)

    def begin_study(self, *, study_id: str, objectives: Sequence[str]) -> None:
        """Open the study's own trace; it ends with the store."""
        self._study_span = self.tracer().start_span(
            f"study {self._study}",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            attributes={
                names.TEST_SUITE_NAME: self._study,
                names.STUDY_ID: study_id,
                names.STUDY_OBJECTIVES: list(objectives),
            },
        )
        self._study_context = self._study_span.get_span_context()

    @contextmanager
    def trial(self, number: int, attributes: Mapping[str, Any]) -> Iterator[Span]:
        """A trial's own trace, linked to the study's."""
        links = [Link(self._study_context)] if self._study_context else []
        with self.tracer().start_as_current_span(
            f"trial {number}",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            links=links,
            attributes={names.TRIAL_NUMBER: number, **attributes},
        ) as span:
            yield span

    @contextmanager
    def example(self, example_id: str, attributes: Mapping[str, Any]) -> Iterator[Span]:
        """An example's own trace, linked to the span that is current (its trial's)."""
        current = trace.get_current_span().get_span_context()
        token = _tracer.set(self.tracer())
        try:
            with self.tracer().start_as_current_span(
                f"example {example_id}",
                context=trace.set_span_in_context(trace.INVALID_SPAN),
                links=[Link(current)] if current.is_valid else [],
                attributes={names.EXAMPLE_ID: example_id, names.TEST_CASE_ID: example_id, **attributes},
            ) as span:
                yield span
        finally:
            _tracer.reset(token)


def score_event(span: Span, *, scorer: str, score: float) -> None:
    """Record how an example was scored, as the conventions' evaluation event."""
    span.add_event(names.EVALUATION_EVENT, {names.EVALUATION_NAME: scorer, names.EVALUATION_SCORE: score})


def traceparent() -> str | None:
    """The W3C header of the current span, for the engine's own spans to join; None when nothing is traced."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
