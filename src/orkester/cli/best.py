"""``orkester best``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orkester.errors import InputError

from .results import LOG_WIDTH, RunArgument, _plain

if TYPE_CHECKING:
    from rich.table import Table

    from orkester.optim.insight.choosing import Choice

_MOST_NAMED = 3


def best(
    run: RunArgument,
    most: Annotated[
        list[str] | None,
        typer.Option(
            "--max", help="Upper limit on a quantity, such as energy_j=40; may be repeated.", metavar="NAME=N"
        ),
    ] = None,
    least: Annotated[
        list[str] | None,
        typer.Option("--min", help="Lower limit, such as quality=0.8; may be repeated.", metavar="NAME=N"),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Share of the best to keep, such as quality=90%; may be repeated.", metavar="NAME=SHARE"),
    ] = None,
    best_in: Annotated[
        str | None,
        typer.Option("--for", help="The quantity to be best in; the recommended team if not given.", metavar="NAME"),
    ] = None,
    loss: Annotated[
        str, typer.Option(help="Share of the best quality that the recommended team may lack.", metavar="SHARE")
    ] = "2%",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Choose one team from a run: the recommended one, or the best in one quantity, within limits.

    Recommended is the cheapest team whose quality cannot be told from the best, or lacks at most 2 % of it.

    90 % of the best quality at least energy is --keep quality=90% --for energy_j. Ends with 1 when no team satisfies
    what was asked.

    Example: `orkester best runs/arithmetic --max energy_j=40 --max latency_p95_s=3`
    """
    import orkester
    from orkester.optim.run.cut_answer_warnings import run_warnings

    wanted = {
        "at_most": _numbers("--max", most or []),
        "at_least": _numbers("--min", least or []),
        "keep": _numbers("--keep", keep or []),
    }
    found = orkester.open_run(run)
    chosen = orkester.best(found, **wanted, best_in=best_in, loss=_share(loss))
    file = found.path / "teams" / f"{chosen.result.team.id}.json"
    cut_answers = run_warnings([chosen.result], found.manifest)
    if as_json:
        shown = {
            "study": found.name,
            **chosen.as_json(),
            "cut_answers": list(cut_answers),
            "team_file": str(file) if file.is_file() else None,
        }
        typer.echo(json.dumps(shown, indent=2))
    else:
        print_choice(chosen, file if file.is_file() else None, cut_answers=cut_answers)


def _share(text: str) -> float:
    try:
        return float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        raise InputError(f"--loss takes a share, such as 2% or 0.02, but got {text!r}") from None


def _numbers(option: str, asked: Sequence[str]) -> dict[str, float]:
    """``NAME=NUMBER`` by name; shares may be in percent."""
    found: dict[str, float] = {}
    example = "quality=90%" if option == "--keep" else "energy_j=40"
    for text in asked:
        name, _, number = (part.strip() for part in text.partition("="))
        percent = option == "--keep" and number.endswith("%")
        try:
            value = float(number.removesuffix("%")) / 100 if percent else float(number)
        except ValueError:
            raise InputError(f"{option} takes a quantity and a number, such as {example}, but got {text!r}") from None
        if name in found:
            raise InputError(f"{option} names {name} twice; name it once")
        found[name] = value
    return found


def print_choice(chosen: Choice, file: Path | None, *, cut_answers: Sequence[str] = ()) -> None:
    """The team, its numbers, and why; full width when not a terminal, so that nothing is cut in a log.

    Args:
        chosen: what to show.
        file: its team file, if there is one.
        cut_answers: warnings of answers that were cut off, a line each.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    team = chosen.result.team

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=not console.is_terminal)

    say(str(team))
    console.print(_table(chosen))
    which = "confirmed values" if chosen.phase == "confirm" else "values of the search"
    say(f"Decided by the {which}. Energy: {chosen.energy_method}. Brackets: 95 % intervals.")
    say(f"Why: {chosen.why}")
    if chosen.excluded:
        say("Excluded: " + ", ".join(f"{count} by {limit}" for limit, count in chosen.excluded.items()))
    if chosen.unclear:
        decided = chosen.verdict.name if chosen.verdict is not None else chosen.rule.removeprefix("best in ")
        say(f"Not told apart from it in {decided}:")
        for result in chosen.unclear[:_MOST_NAMED]:
            say(f"  {result.team}")
        if (more := len(chosen.unclear) - _MOST_NAMED) > 0:
            say(f"  and {more} more")
    for doubt in chosen.doubts:
        say(f"Not certain: {doubt}")
    for line in cut_answers:
        say(f"Cut answers: {line}")
    if chosen.verdict is None:
        say(against(chosen))
    if file is not None:
        console.print(f"Team file: {file}", markup=False, soft_wrap=True)
    else:
        say("Team file: none; a run writes files for the teams on and near its front, and this team is not one of them")


def against(chosen: Choice) -> str:
    """How the choice compares with the best single agent, in a line."""
    beside = chosen.against
    if beside is None:
        return "No single agent was measured to compare it with."
    if beside.single.team.id == chosen.result.team.id:
        return "It is the best single agent."
    return f"Against the best single agent, {beside.single.team}: {_ratios(beside.ratios)}"


def _ratios(ratios: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} × {'–' if ratio is None else f'{ratio:.3g}'}" for name, ratio in ratios.items())


def _table(chosen: Choice) -> Table:
    """Its values in the search and in confirmation; those that decided are not dim."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in (*chosen.values, "n"):
        table.add_column(name, justify="right")
    result = chosen.result
    for label, phase, measurement in (
        ("search", "search", result.search),
        ("confirmed", "confirm", result.confirmed),
    ):
        if measurement is None:
            continue
        cells = [
            _plain(measurement.estimates[name]) if name in measurement.estimates else "–" for name in chosen.values
        ]
        table.add_row(f"  {label}", *cells, str(measurement.examples), style=None if phase == chosen.phase else "dim")
    return table
