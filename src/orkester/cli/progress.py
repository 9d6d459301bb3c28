"""Shows the progress of a study: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from orkester import Study
from orkester.graphs import written
from orkester.optim.run.budget import readable
from orkester.optim.run.events import (
    AnswersCut,
    BlockProgress,
    BlockRerun,
    BudgetSpent,
    EngineChanged,
    EnginesReady,
    EnginesStarting,
    Event,
    Forecast,
    Observer,
    Preparing,
    Resumed,
    SearchEnded,
    StillStarting,
    Stopping,
    TeamMeasured,
    TeamStarted,
)
from orkester.optim.run.results import Results, TeamResult
from orkester.serving.lease import EngineEvent

from .results import front_table

_BAR = 24
#: The words for the limits of a budget.
_WORDS = {"trials": "teams", "llm_calls": "calls", "minutes": "minutes", "tokens": "tokens", "joules": "joules"}


@contextmanager
def progress(study: Study, directory: Path) -> Iterator[Observer]:
    """Show the progress of a study on standard error.

    Args:
        study: The study that runs.
        directory: Its run directory.

    Yields:
        The observer that shows the events.
    """
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        display = _Display(study, directory)
        with Live(display, console=console, refresh_per_second=4, transient=True) as live:
            yield lambda event: display.see(event, live.console)
    else:
        yield plain_lines(study, directory)


def plain_lines(
    study: Study,
    directory: Path,
    *,
    write: Callable[[str], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Observer:
    """Make an observer that writes a line for each important event: engines, teams, confirmation, errors.

    Args:
        study: The study that runs.
        directory: Its run directory.
        write: Writes a line; None to write to standard error.
        clock: Returns monotonic seconds.
    """

    def to_stderr(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    write_line = write or to_stderr
    start = clock()
    write_line(
        f"{study.name}: {_count(len(study.space), 'team')} to choose from, "
        f"{_count(len(study.search_examples), 'example')} each; "
        f"{directory}"
    )
    remaining: float | None = None
    spent = ""
    confirmed: set[str] = set()

    def observe(event: Event) -> None:
        nonlocal remaining, spent
        time_mark = f"[{clock() - start:6.1f} s] "
        match event:
            case BlockProgress(remaining_s=guess):
                remaining = guess
            case BudgetSpent():
                # The number of teams is in the line already.
                spent = f"; {_spent(event)}" if event.name != "trials" else ""
            case TeamStarted():
                return
            case TeamMeasured(phase="confirm", result=result) if result.team.id in confirmed or not (
                result.settled or result.infeasible
            ):
                return  # confirmation comes back to a team until its place is clear; that is one line
            case TeamMeasured(phase=phase):
                if phase == "confirm":
                    confirmed.add(event.result.team.id)
                left = f"; about {_duration(remaining)} left" if remaining is not None and phase == "search" else ""
                write_line(time_mark + _measured(event) + (spent if phase == "search" else "") + left)
            case _:
                if line := sentence(event):
                    write_line(time_mark + line)

    return observe


#: The line after the user has pressed Ctrl-C, by whether the study stops at once.
_STOPPING = {
    True: "stopping the engines",
    False: "stopping after the current block; press Ctrl-C again to stop at once",
}


def sentence(event: Event) -> str:
    """Describe an event in one line.

    Args:
        event: The event.

    Returns:
        The line; empty for an event that only the live display shows.
    """
    line = ""
    match event:
        case Resumed(teams=teams, blocks=blocks, lost=lost):
            cut = "; the block that was interrupted is run again" if lost else ""
            line = f"resumed: {_count(teams, 'team')} and {_count(blocks, 'block')} are measured already{cut}"
        case Forecast():
            line = _forecast(event)
        case Preparing(line=text):
            line = text
        case EnginesStarting() | StillStarting() | EnginesReady():
            line = _engines_line(event)
        case EngineChanged(event=engine_event):
            line = _changed(engine_event)
        case BlockRerun(team=team, reason=reason):
            line = f"{reason}; {team.id} runs the block again"
        case SearchEnded(reason=reason, teams=teams):
            line = f"search ended: {reason} ({teams} in all)"
        case Stopping(at_once=at_once):
            line = _STOPPING[at_once]
        case TeamMeasured():
            line = _measured(event)
        case AnswersCut(team=team, warning=warning):
            line = f"warning: {team}: {warning}"
    return line


def _forecast(event: Forecast) -> str:
    """The forecast in one line: the costs that are known, and the names of those that will be known later."""
    parts = [_range(name, low, high) for name, (low, high) in event.ranges.items()]
    teams = _count(event.teams, "team")
    if event.measured:
        ends = f" until the {_WORDS[event.ends_by]} are spent" if event.ends_by != "trials" else " in all"
        return f"forecast from {_count(event.measured, 'team')}: {teams}{ends}: {', '.join(parts)}"
    # The number of teams is in the line already, and each range ends at the limit of the budget.
    shown = {"trials", *event.ranges}
    limits = [f"{readable(limit)} {_WORDS[name]}" for name, limit in event.limits.items() if name not in shown]
    if event.later:
        parts.append(f"{_listed([_WORDS[name] for name in event.later])} are known after the first teams")
    size = ", ".join([f"{teams} × {_count(event.examples, 'example')}", *limits])
    return f"forecast: at most {size}{': ' if parts else ''}{'; '.join(parts)}; confirmation is not included"


def _range(name: str, low: float, high: float) -> str:
    unit = _WORDS[name]
    if name == "minutes" and high < 2:
        unit, low, high = "seconds", 60 * low, 60 * high
    low_text, high_text = readable(low), readable(high)
    if low_text == high_text:
        return f"{low_text} {unit.removesuffix('s') if low_text == '1' else unit}"
    return f"{low_text} to {high_text} {unit}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _spent(event: BudgetSpent) -> str:
    return f"{_WORDS[event.name]} {readable(event.spent)} of {readable(event.limit)}"


def _engines_line(event: EnginesStarting | StillStarting | EnginesReady) -> str:
    match event:
        case EnginesStarting():
            return _starting(event)
        case StillStarting(models=models, seconds=seconds):
            return f"{', '.join(models)} not ready after {seconds:.0f} s; still waiting"
        case EnginesReady(models=models, seconds=seconds):
            return f"{', '.join(models)} ready after {seconds:.1f} s"


def _starting(event: EnginesStarting) -> str:
    groups = {"starting": [model for model in event.models if model not in event.waking], "waking": event.waking}
    lines = [f"{verb} {', '.join(models)}" for verb, models in groups.items() if models]
    return ", ".join(lines) + _in_brackets(event.options)


def _changed(event: EngineEvent) -> str:
    """The line for a change of an engine. Empty for starts and wakes, which have other lines, and at a study's end."""
    engine = event.model + _in_brackets(event.options)
    match event.kind:
        case "slept":
            return f"{engine} put to sleep in {event.seconds:.1f} s"
        case "stopped" if event.reason:
            return f"{engine} stopped: {event.reason}"
        case "died":
            return f"the engine of {engine} died: {event.reason}"
        case "restarted":
            return f"the engine of {engine} is started again: {event.reason}"
        case _:
            return ""


def _in_brackets(options: Mapping[str, object]) -> str:
    return f" ({written(options)})" if options else ""


def _measured(event: TeamMeasured) -> str:
    result, results = event.result, event.results
    label = "confirmed" if event.phase == "confirm" else f"team {result.trial + 1}"
    return f"{label}: {result.team}: {_outcome(result, results, event.phase)}; {len(results.front)} on the front"


def _outcome(result: TeamResult, results: Results, phase: str) -> str:
    measurement = result.confirmed if phase == "confirm" else result.search
    if result.infeasible:
        return f"infeasible: {result.infeasible.splitlines()[0]}"
    if measurement is None:
        return "not measured"
    values = ", ".join(
        f"{name} {measurement.estimates[name].value:.3g}"
        for name in results.objectives
        if name in measurement.estimates
    )
    reason = _stopped(result, results) if phase == "search" else ""
    return f"{reason}{values} (n = {measurement.examples})"


def _stopped(result: TeamResult, results: Results) -> str:
    """Why a team was stopped, with the names of other teams instead of their ids; empty if it was not stopped."""
    if not result.stopped:
        return ""
    reason = result.stopped
    for other in results.teams:
        reason = reason.replace(other.team.id, str(other.team))
    return f"stopped: {reason}: "


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class _Display:
    """The live display: the current team and block, the budget, the engines, and the front so far."""

    def __init__(self, study: Study, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._study = study
        self._directory = directory
        self._clock = clock
        self._starting_since: float | None = None
        self._team: TeamStarted | None = None
        self._block: BlockProgress | None = None
        self._engines = ""
        self._results: Results | None = None
        self._spent = ""

    def see(self, event: Event, console: Console) -> None:
        match event:
            case TeamStarted():
                self._team, self._block = event, None
            case BlockProgress():
                self._block = event
            case BudgetSpent():
                self._spent = _spent(event)
            case EnginesStarting():
                self._engines, self._starting_since = sentence(event), self._clock()
            case EnginesReady():
                self._engines, self._starting_since = sentence(event), None
            case StillStarting():
                pass  # the display already counts the seconds
            case EngineChanged(event=EngineEvent(kind="slept" | "stopped")) if line := sentence(event):
                self._engines = line
            case TeamMeasured():
                self._results = event.results
                console.print(Text(sentence(event)))
            case _:
                if line := sentence(event):
                    console.print(Text(line))

    def __rich__(self) -> Group:
        lines: list[object] = [Text(f"{self._study.name} → {self._directory}", style="bold")]
        if self._team is not None:
            team, block = self._team, self._block
            label = "Confirming" if team.phase == "confirm" else "Team"
            done = (block.block - 1 + block.examples_done / block.examples) / block.of if block else 0.0
            bar = "━" * round(done * _BAR)
            left = f"  about {_duration(block.remaining_s)} left" if block and block.remaining_s is not None else ""
            lines.append(Text(f"{label} {team.number} of {team.of}: {team.team}"))
            number = block.block if block else 1
            lines.append(Text(f"{bar:<{_BAR}} block {number} of {team.blocks}{left}"))
            if self._spent and team.phase == "search":
                lines.append(Text(f"Budget: {self._spent}"))
        if self._engines:
            since = self._starting_since
            lines.append(
                Text(self._engines + ("" if since is None else f", {self._clock() - since:.0f} s"), style="dim")
            )
        if self._results is not None and self._results.front:
            lines.append(Text("Front so far:"))
            lines.append(front_table(self._results, grouped=False))
        return Group(*lines)  # type: ignore[arg-type]
