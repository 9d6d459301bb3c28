"""Functions that open spans, and the store that writes spans to files.

All spans go through OpenTelemetry's API, so they cost almost nothing when no SDK is set up. A study opens a
``TraceStore``, which has its own tracer provider. The process's global provider may belong to the application that
imports Orkester, so the store does not change it.
"""

from __future__ import annotations

import json
import os
import time
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
#: The tracer of the current example. It is a context variable, so that concurrent studies do not share a tracer.
_tracer: ContextVar[Tracer | None] = ContextVar("orkester_tracer", default=None)

_chat_contexts: ContextVar[list[SpanContext] | None] = ContextVar("orkester_chat_contexts", default=None)


def current_tracer() -> Tracer:
    """Return the tracer to open spans with.

    Returns:
        The tracer of the study inside an example, and the global tracer of the process outside.
    """
    return _tracer.get() or trace.get_tracer(_SCOPE)


def workflow_span(topology: str, *, team: str) -> AbstractContextManager[Span]:
    """Open a span around one run of a team's graph.

    Args:
        topology: The topology's name.
        team: The team's id.

    Returns:
        A context manager that opens the span.
    """
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
    """Open a span around one turn of an agent.

    Args:
        agent: The agent's name, which is also the name of its graph node.
        model: The name of the model that the agent asks.

    Returns:
        A context manager that opens the span.
    """
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
    """Open a span around one call of a model, including its retries.

    Args:
        model: The model's name.
        attributes: More attributes of the span, by name.

    Yields:
        The span. The caller adds the usage to it after the call.
    """
    with current_tracer().start_as_current_span(
        f"chat {model}",
        kind=SpanKind.CLIENT,
        attributes={names.OPERATION_NAME: "chat", names.REQUEST_MODEL: model, **attributes},
    ) as span:
        if (contexts := _chat_contexts.get()) is not None:
            contexts.append(span.get_span_context())
        yield span


@contextmanager
def collect_chat_spans() -> Iterator[list[SpanContext]]:
    """Collect the contexts of all ``chat`` spans that are opened inside the ``with`` block, failed calls included.

    Yields:
        A list that grows by one context for each ``chat`` span.
    """
    contexts: list[SpanContext] = []
    token = _chat_contexts.set(contexts)
    try:
        yield contexts
    finally:
        _chat_contexts.reset(token)


class _SpanFile:
    """The exporter's output stream. It keeps a write error instead of raising it.

    If the stream raised the error, the exporter would only log a traceback and go on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault: OSError | None = None
        self._file = path.open("ab", buffering=0)

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, text: str) -> None:
        """Append all of the text, or nothing if the write fails."""
        end = self._file.seek(0, os.SEEK_END)
        remaining = memoryview(text.encode())
        try:
            while remaining:
                remaining = remaining[self._file.write(remaining) :]
        except OSError as error:
            self.fault = error
            self._file.truncate(end)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        self._file.close()


class TraceStore:
    """Writes the spans of one study as OTLP JSON lines. Each process that works on the study writes its own file.

    Args:
        directory: The folder for the files; it is created if it does not exist. The spans go to
            ``spans-NNNN.jsonl``, where NNNN is one more than the highest number in the folder. The energy table goes
            to ``energy-NNNN.jsonl`` when the first energy is recorded.
        study: The study's name.
    """

    def __init__(self, directory: Path, *, study: str) -> None:
        self._directory = directory
        self._study = study
        self._provider: TracerProvider | None = None
        self._file: _SpanFile | None = None
        self._energy: _SpanFile | None = None
        self._study_context: SpanContext | None = None
        self._study_span: Span | None = None
        self._unscored: dict[str, tuple[Span, int]] = {}  # with their ends in ns, by trace id

    def __enter__(self) -> TraceStore:
        from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        from ._processor import BufferedSpanProcessor

        self._directory.mkdir(parents=True, exist_ok=True)
        used_numbers = [path.stem.removeprefix("spans-") for path in self._directory.glob("spans-*.jsonl")]
        number = max((int(used) + 1 for used in used_numbers if used.isdecimal()), default=0)
        self._file = _SpanFile(self._directory / f"spans-{number:04d}.jsonl")
        resource = Resource.create({"service.name": "orkester", names.OPENINFERENCE_PROJECT: self._study})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = FileSpanExporter(stream=cast("IO[str]", self._file))
        self._provider.add_span_processor(BufferedSpanProcessor(exporter))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._study_span is not None:
            self._study_span.end()
        self._end_unscored()
        if self._provider is not None:
            self._provider.shutdown()
        for file in (self._file, self._energy):
            if file is not None:
                file.close()

    def tracer(self) -> Tracer:
        """Return the tracer whose spans this store writes.

        Returns:
            The tracer.

        Raises:
            RuntimeError: The store has not been entered.
        """
        if self._provider is None:
            raise RuntimeError("enter the TraceStore (with TraceStore(...) as store) before calling tracer()")
        return self._provider.get_tracer(_SCOPE)

    def flush(self) -> None:
        """Write every ended span to disk. The block runner calls it when a block ends.

        Spans of examples that were not scored end without a score.

        Raises:
            OrkesterError: Spans or energy rows could not be written, for example because the disk is full.
        """
        self._end_unscored()
        if self._provider is not None:
            self._provider.force_flush()
        for file in (self._file, self._energy):
            if file is not None and file.fault is not None:
                fault, file.fault = file.fault, None
                raise OrkesterError(
                    f"{file.path}: the trace could not be written: {fault.strerror}. Make room and run the "
                    "same command again: it goes on from the last block on disk"
                ) from fault

    def _end_unscored(self) -> None:
        for span, end_ns in self._unscored.values():
            span.end(end_ns)
        self._unscored.clear()

    def energy(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows to the energy table. If they cannot be written, the next ``flush`` raises the error.

        Joules are known when a measurement window ends, after its spans have ended. So they are in a table of their
        own, which can be joined with the spans on ``trace_id`` and ``span_id``.

        Args:
            rows: The rows to append, each with its JSON values by column.
        """
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        if not text or self._file is None:
            return
        if self._energy is None:
            name = self._file.path.name.replace("spans", "energy")
            self._energy = _SpanFile(self._file.path.with_name(name))
        self._energy.write(text)

    def begin_study(self, *, study_id: str, objectives: Sequence[str]) -> None:
        """Open the study's own trace. The trace ends when the store is closed.

        Args:
            study_id: The study's id.
            objectives: The names of the study's objectives.
        """
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
        """Open a trace for a trial, linked to the trace of the study.

        Args:
            number: The trial's number.
            attributes: More attributes of the trial's span, by name.

        Yields:
            The span of the trial.
        """
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
        """Open a trace for an example, linked to the current span (that of its trial).

        The span ends with the ``with`` block, but it can be scored until the next ``flush``.

        Args:
            example_id: The example's id.
            attributes: More attributes of the example's span, by name.

        Yields:
            The span of the example.
        """
        current = trace.get_current_span().get_span_context()
        token = _tracer.set(self.tracer())
        try:
            with self.tracer().start_as_current_span(
                f"example {example_id}",
                context=trace.set_span_in_context(trace.INVALID_SPAN),
                links=[Link(current)] if current.is_valid else [],
                attributes={names.EXAMPLE_ID: example_id, names.TEST_CASE_ID: example_id, **attributes},
                end_on_exit=False,
            ) as span:
                try:
                    yield span
                finally:
                    self._unscored[f"{span.get_span_context().trace_id:032x}"] = (span, time.time_ns())
        finally:
            _tracer.reset(token)

    @contextmanager
    def scoring(self, scorer: str, attributes: Mapping[str, Any]) -> Iterator[Span]:
        """Open a span around the work of a scorer that takes long, inside the current span (that of the trial).

        Calls that the scorer makes have their spans inside it.

        Args:
            scorer: The scorer's name.
            attributes: More attributes of the span, by name.

        Yields:
            The span.
        """
        token = _tracer.set(self.tracer())
        try:
            with self.tracer().start_as_current_span(
                f"evaluate {scorer}", attributes={names.EVALUATION_NAME: scorer, **attributes}
            ) as span:
                yield span
        finally:
            _tracer.reset(token)

    def score(self, trace_id: str, *, scorer: str, score: float) -> None:
        """Add an example's score to its span, as the evaluation event of the GenAI conventions.

        Args:
            trace_id: The id of the example's trace.
            scorer: The scorer's name.
            score: The example's score.
        """
        if (unscored := self._unscored.pop(trace_id, None)) is not None:
            span, end_ns = unscored
            span.add_event(
                names.EVALUATION_EVENT,
                {names.EVALUATION_NAME: scorer, names.EVALUATION_SCORE: score},
                timestamp=end_ns,
            )
            span.end(end_ns)


def route_event(*, policy: str, choice: str, reason: str) -> None:
    """Add a routing decision to the current span.

    Args:
        policy: The name of the routing policy.
        choice: The model or agent that gets the question.
        reason: The policy's reason.
    """
    trace.get_current_span().add_event(
        names.ROUTE_EVENT, {names.ROUTE_POLICY: policy, names.ROUTE_CHOICE: choice, names.ROUTE_REASON: reason}
    )


def traceparent() -> str | None:
    """Return the W3C ``traceparent`` header of the current span, or None if no span is recorded.

    An engine that receives the header adds its own spans to the same trace.

    Returns:
        The header, or None if there is no current span.
    """
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
