"""``orkester verdict``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from .results import LOG_WIDTH, RunArgument

if TYPE_CHECKING:
    from orkester.optim.insight.team_pays import TeamPays


def verdict(
    run: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say whether a team pays: the best team beside the best single agent of the run.

    Both are chosen by the search, and compared on held-out examples where both were confirmed.

    Example: `orkester verdict runs/quickstart`
    """
    import orkester
    from orkester.optim.insight.team_pays import team_pays

    found = orkester.open_run(run)
    pays = team_pays(found.results)
    if as_json:
        typer.echo(json.dumps({"study": found.name, **pays.as_json()}, indent=2))
        return
    print_verdict(pays)


def print_verdict(pays: TeamPays) -> None:
    """Print a verdict: the sentence first, then what it is based on."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    where = "held-out examples" if pays.phase == "confirm" else "examples of the search, which chose both"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "team", pays.name, "n"):
        table.add_column(column, justify="right" if column in {pays.name, "n"} else "left")
    for label, result in (("best single agent", pays.single), ("best team", pays.team)):
        estimate = pays.estimate(result)
        ends = ("?" if end is None else f"{end:.3g}" for end in (estimate.low, estimate.high))
        table.add_row(label, str(result.team), f"{estimate.value:.3g} [{', '.join(ends)}]", str(estimate.n))
    gap = pays.difference
    console.print(pays.verdict, markup=False, soft_wrap=not console.is_terminal)
    console.print(table)
    console.print(
        f"Difference: {gap.value:+.2g} [{gap.low:+.2g}, {gap.high:+.2g}] on {gap.n} {where}. Brackets: 95 % intervals.",
        markup=False,
        soft_wrap=not console.is_terminal,
    )
    costs = []
    for name, ratio in pays.ratios.items():
        low, high = ("?" if end is None else f"{end:.2g}" for end in (ratio.low, ratio.high))
        costs.append(f"{ratio.value:.2g} [{low}, {high}] × the {name}")
    if costs:
        console.print(f"The team takes {' and '.join(costs)}.", markup=False, soft_wrap=not console.is_terminal)
    if pays.saturation:
        console.print(pays.saturation, markup=False, soft_wrap=not console.is_terminal)
