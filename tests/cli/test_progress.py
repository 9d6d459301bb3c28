"""What a study says while it runs, in words, in a log and on a terminal."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import orkester
from orkester.cli.progress import _Display, plain_lines, sentence
from orkester.graphs import Team
from orkester.optim.events import (
    BlockRerun,
    EngineChanged,
    EnginesReady,
    EnginesStarting,
    Event,
    Preparing,
    StillStarting,
    Stopping,
)
from orkester.serving.lease import EngineEvent

TEAM = Team("single", {"model": "large", "temperature": 0.0})


def changed(kind: Any, **facts: Any) -> EngineChanged:
    known: dict[str, Any] = {"model": "large", "options": {}, "seconds": 1.25, "at": ""}
    return EngineChanged(event=EngineEvent(kind=kind, **{**known, **facts}))


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Preparing(line="converting large"), "converting large"),
        (EnginesStarting(models=("small", "large")), "starting small, large"),
        (EnginesStarting(models=("large",), waking=("large",)), "waking large"),
        (EnginesStarting(models=("small", "large"), waking=("large",)), "starting small, waking large"),
        (
            EnginesStarting(models=("large",), options={"max_num_active_seqs": 8, "prefix_caching": False}),
            "starting large (max_num_active_seqs=8, prefix_caching=false)",
        ),
        (StillStarting(models=("small", "large"), seconds=60.2), "small, large not ready yet after 60 s"),
        (EnginesReady(models=("large",), seconds=61.66), "large ready after 61.7 s"),
        (changed("started"), ""),
        (changed("woken"), ""),
        (changed("slept"), "large put to sleep in 1.2 s"),
        (changed("stopped"), ""),
        (changed("stopped", reason="to make room"), "large stopped: to make room"),
        (
            changed("died", reason="its process ended", options={"kv_cache_dtype": "fp8"}),
            "the engine of large (kv_cache_dtype=fp8) died: its process ended",
        ),
        (
            changed("restarted", reason="after its sleep it said 'x' instead of 'y'"),
            "large is started again: after its sleep it said 'x' instead of 'y'",
        ),
        (
            BlockRerun(team=TEAM, block=0, reason="the engine of large died"),
            f"the engine of large died; {TEAM.id} runs the block again",
        ),
        (Stopping(at_once=True), "stopping the engines"),
    ],
)
def test_every_event_is_said_in_words(event: Event, said: str) -> None:
    assert sentence(event) == said


@pytest.fixture
def study(study_file: Path) -> orkester.Study:
    return orkester.load_study(study_file)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def happening(clock: Clock) -> Iterator[Event]:
    """A long start, and what follows."""
    yield EnginesStarting(models=("large",))
    clock.now_s = 30.0
    yield StillStarting(models=("large",), seconds=30.0)
    clock.now_s = 42.0
    yield changed("started")
    yield EnginesReady(models=("large",), seconds=42.0)
    yield changed("died", reason="its process ended")


def test_a_log_has_a_line_for_whatever_befell_engines_and_none_for_nothing(study: orkester.Study) -> None:
    lines: list[str] = []
    clock = Clock()
    observe = plain_lines(study, Path("run"), write=lines.append, clock=clock)
    for event in happening(clock):
        observe(event)
    assert lines[1:] == [
        "[   0.0 s] starting large",
        "[  30.0 s] large not ready yet after 30 s",
        "[  42.0 s] large ready after 42.0 s",
        "[  42.0 s] the engine of large died: its process ended",
    ]


def test_a_terminal_shows_the_seconds_of_a_start_as_they_pass(study: orkester.Study) -> None:
    clock = Clock()
    display = _Display(study, Path("run"), clock)
    console = Console(file=io.StringIO(), width=100)

    def shown() -> str:
        shot = Console(file=io.StringIO(), width=100)
        shot.print(display)
        assert isinstance(shot.file, io.StringIO)
        return shot.file.getvalue()

    events = happening(clock)
    display.see(next(events), console)
    assert "starting large, 0 s" in shown()
    clock.now_s = 12.4
    assert "starting large, 12 s" in shown()
    for event in events:
        display.see(event, console)
    assert "large ready after 42.0 s\n" in shown()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "the engine of large died: its process ended\n"
