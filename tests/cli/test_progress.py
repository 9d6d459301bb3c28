"""What a study says while it runs, in words, in a log and on a terminal."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import orkester
from orkester.cli.progress import _Display, plain_lines, sentence
from orkester.evals.summaries.measurement import measure
from orkester.graphs import Team
from orkester.optim.run.events import (
    AnswersCut,
    BlockRerun,
    BudgetSpent,
    EngineChanged,
    EnginesReady,
    EnginesStarting,
    Event,
    Forecast,
    Preparing,
    StillStarting,
    Stopping,
    TeamMeasured,
    TeamStarted,
)
from orkester.optim.run.results import Results, TeamResult
from orkester.serving.lease import EngineEvent
from orkester.testing.blocks import block

TEAM = Team("single", {"model": "large", "temperature": 0.0})


def changed(kind: Any, **facts: Any) -> EngineChanged:
    known: dict[str, Any] = {"model": "large", "options": {}, "seconds": 1.25, "at": ""}
    return EngineChanged(event=EngineEvent(kind=kind, **{**known, **facts}))


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            AnswersCut(team=TEAM, warning="3 of 8 answers were cut off."),
            f"warning: {TEAM}: 3 of 8 answers were cut off.",
        ),
        (Preparing(line="converting large"), "converting large"),
        (EnginesStarting(models=("small", "large")), "starting small, large"),
        (EnginesStarting(models=("large",), waking=("large",)), "waking large"),
        (EnginesStarting(models=("small", "large"), waking=("large",)), "starting small, waking large"),
        (
            EnginesStarting(models=("large",), options={"max_num_active_seqs": 8, "prefix_caching": False}),
            "starting large (max_num_active_seqs=8, prefix_caching=false)",
        ),
        (StillStarting(models=("small", "large"), seconds=60.2), "small, large not ready after 60 s; still waiting"),
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
            "the engine of large is started again: after its sleep it said 'x' instead of 'y'",
        ),
        (
            BlockRerun(team=TEAM, block=0, reason="the engine of large died"),
            f"the engine of large died; {TEAM.id} runs the block again",
        ),
        (Stopping(at_once=True), "stopping the engines"),
        (
            Forecast(
                teams=24,
                examples=64,
                ranges={"llm_calls": (1536, 13824)},
                limits={"trials": 24},
                later=("minutes", "tokens", "joules"),
            ),
            (
                "forecast: at most 24 teams × 64 examples: 1,536 to 13,824 calls; minutes, tokens and joules are known "
                "after the first teams; confirmation is not included"
            ),
        ),
        (
            Forecast(teams=1, examples=1, ranges={"llm_calls": (1, 1)}, limits={"minutes": 2.5}, later=("minutes",)),
            (
                "forecast: at most 1 team × 1 example, 2.5 minutes: 1 call; minutes are known after the first teams; "
                "confirmation is not included"
            ),
        ),
        (
            Forecast(
                teams=12,
                examples=64,
                ranges={"minutes": (9.0, 10.0), "joules": (1250.5, 3000.0)},
                limits={"minutes": 10.0},
                measured=3,
                ends_by="minutes",
            ),
            ("forecast from 3 teams: 12 teams until the minutes are spent: 9 to 10 minutes, 1,250 to 3,000 joules"),
        ),
        (
            Forecast(teams=40, examples=64, ranges={"minutes": (9.0, 9.001)}, measured=10),
            "forecast from 10 teams: 40 teams in all: 9 minutes",
        ),
        (
            Forecast(teams=40, examples=64, ranges={"minutes": (0.01, 0.5), "tokens": (5.0, 6.5)}, measured=3),
            "forecast from 3 teams: 40 teams in all: 0.6 to 30 seconds, 5 to 6.5 tokens",
        ),
        (
            Forecast(
                teams=9,
                examples=8,
                ranges={"llm_calls": (250, 250)},
                limits={"trials": 9, "llm_calls": 250, "tokens": 50_000, "joules": 5000.0},
                later=("tokens", "joules"),
            ),
            (
                "forecast: at most 9 teams × 8 examples, 50,000 tokens, 5,000 joules: 250 calls; tokens and joules are "
                "known after the first teams; confirmation is not included"
            ),
        ),
        (
            Forecast(teams=2, examples=8, ranges={}),
            "forecast: at most 2 teams × 8 examples; confirmation is not included",
        ),
        (BudgetSpent(name="llm_calls", spent=3120, limit=10_000), ""),
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
        "[  30.0 s] large not ready after 30 s; still waiting",
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


def measured(team: Team = TEAM, number: int = 1) -> TeamMeasured:
    """A team that could not be measured, which has the shortest line."""
    result = TeamResult(
        team=team,
        trial=number - 1,
        search=None,
        confirmed=None,
        whole=False,
        infeasible="",
        on_front=False,
        agents=(),
        residual_j=None,
        reruns=0,
    )
    results = Results(objectives={"quality": "maximize"}, constraints={}, teams=[result] * number)
    return TeamMeasured(result=result, results=results, phase="search")


def test_a_log_says_with_each_team_how_much_of_the_tightest_limit_is_spent(study: orkester.Study) -> None:
    lines: list[str] = []
    observe = plain_lines(study, Path("run"), write=lines.append, clock=lambda: 0.0)
    observe(BudgetSpent(name="trials", spent=1, limit=40))
    observe(measured())
    observe(BudgetSpent(name="llm_calls", spent=3120, limit=10_000))
    observe(measured(number=2))
    assert lines[1:] == [
        f"[   0.0 s] team 1: {TEAM}: not measured; 0 on the front",  # which is numbered as it is
        f"[   0.0 s] team 2: {TEAM}: not measured; 0 on the front; calls 3,120 of 10,000",
    ]


def test_a_terminal_shows_the_budget_while_teams_are_searched(study: orkester.Study) -> None:
    display = _Display(study, Path("run"), Clock())
    console = Console(file=io.StringIO(), width=100)

    def shown() -> str:
        shot = Console(file=io.StringIO(), width=100)
        shot.print(display)
        assert isinstance(shot.file, io.StringIO)
        return shot.file.getvalue()

    display.see(TeamStarted(team=TEAM, phase="search", number=1, of=6, blocks=3), console)
    assert "Budget" not in shown()
    display.see(BudgetSpent(name="joules", spent=12.5, limit=100.0), console)
    assert "Budget: joules 12.5 of 100\n" in shown()
    display.see(TeamStarted(team=TEAM, phase="confirm", number=1, of=2, blocks=1), console)
    assert "Budget" not in shown()
    display.see(Forecast(teams=6, examples=12, ranges={"llm_calls": (72, 360)}), console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == (
        "forecast: at most 6 teams × 12 examples: 72 to 360 calls; confirmation is not included\n"
    )


def confirming(*, settled: bool, infeasible: str = "") -> TeamMeasured:
    event = measured()
    result = replace(event.result, settled=settled, infeasible=infeasible)
    return TeamMeasured(result=result, results=replace(event.results, teams=[result]), phase="confirm")


def test_a_confirmed_team_is_one_line_in_a_log(study: orkester.Study) -> None:
    lines: list[str] = []
    observe = plain_lines(study, Path("run"), write=lines.append, clock=lambda: 0.0)
    for settled in (False, False, True, True):
        observe(confirming(settled=settled))
    assert lines[1:] == [f"[   0.0 s] confirmed: {TEAM}: not measured; 0 on the front"]


def test_a_team_that_fails_in_confirmation_is_a_line_at_once(study: orkester.Study) -> None:
    lines: list[str] = []
    observe = plain_lines(study, Path("run"), write=lines.append, clock=lambda: 0.0)
    observe(confirming(settled=False, infeasible="in confirmation: failure_rate is 1, not <= 0"))
    assert lines[1:] == [
        f"[   0.0 s] confirmed: {TEAM}: infeasible: in confirmation: failure_rate is 1, not <= 0; 0 on the front"
    ]


def test_a_stopped_team_is_a_line_with_the_reason_and_the_other_teams_name(study: orkester.Study) -> None:
    lines: list[str] = []
    observe = plain_lines(study, Path("run"), write=lines.append, clock=lambda: 0.0)
    event = measured()
    stopped = replace(
        event.result,
        stopped=f"beaten by {TEAM.id} after 2 of 12 examples",
        search=measure([block(examples=2)]),
    )
    observe(TeamMeasured(result=stopped, results=event.results, phase="search"))
    assert lines[1:] == [
        (
            f"[   0.0 s] team 1: {TEAM}: stopped: beaten by {TEAM} after 2 of 12 examples: quality 1 (n = 2); "
            "0 on the front"
        )
    ]
