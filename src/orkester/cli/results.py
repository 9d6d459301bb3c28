"""``orkester front`` and ``orkester report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from orkester import Run
    from orkester.evals.measurement import Estimate, Measurement
    from orkester.optim.results import Results

#: Columns where there is no terminal: enough that nothing is cut or broken in a log.
LOG_WIDTH = 250

RunArgument = Annotated[Path, typer.Argument(help="Run directory.", metavar="RUN")]


def front(
    run: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show the teams that no other team beats, with 95 % intervals and what confirmation found.

    Example: `orkester front runs/arithmetic --json`
    """
    import orkester

    found = orkester.open_run(run)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        print_front(found)


def report(run: RunArgument) -> None:
    """Write the report of a run again, and say where it is.

    Example: `orkester report runs/arithmetic`
    """
    from orkester.optim.tune import report as write

    typer.echo(write(run))


def print_front(run: Run) -> None:
    """The front as a table; full width when not a terminal, so that nothing is cut in a log."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    found = run.results
    if not found.front:
        reasons = {result.infeasible for result in found.teams if result.infeasible}
        console.print(f"No team is on the front of {run.path} ({len(found.teams)} measured).")
        for reason in sorted(reasons):
            console.print(f"  {reason}", markup=False)
        return
    console.print(front_table(found))
    methods = sorted({result.search.energy_method for result in found.front if result.search})
    console.print(
        f"{len(found.front)} of {len(found.teams)} teams are on the front. "
        f"Energy: {', '.join(methods)}. Brackets: 95 % intervals.",
        markup=False,
    )


def front_table(found: Results, *, confirmed: bool = True) -> Table:
    """Front members with the search's numbers and, below them, confirmation's."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("team")
    for name in found.objectives:
        table.add_column(name, justify="right")
    table.add_column("n", justify="right")
    for result in found.front:
        table.add_row(str(result.team), *_cells(result.search, found), _n(result.search))
        if confirmed and result.confirmed is not None:
            table.add_row("  confirmed", *_cells(result.confirmed, found), _n(result.confirmed), style="dim")
    return table


def _cells(measurement: Measurement | None, found: Results) -> list[str]:
    estimates = measurement.estimates if measurement is not None else {}
    return [_plain(estimates[name]) if name in estimates else "–" for name in found.objectives]


def _n(measurement: Measurement | None) -> str:
    return str(measurement.examples) if measurement is not None else "0"


def _plain(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} \\[{estimate.low:.3g}, {estimate.high:.3g}]"
