"""``orkester front`` and ``orkester report``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from orkester import Run
    from orkester.evals.objectives import Estimate
    from orkester.evals.records.block import Phase
    from orkester.evals.summaries.measurement import Measurement
    from orkester.optim.run.results import Results, TeamResult

#: Columns where there is no terminal: enough that nothing is cut or broken in a log.
LOG_WIDTH = 250
#: Printed before a team that cannot be told apart from the first team of its group.
_ALIKE = "  ≈"
#: Lines that say why nobody is on the front.
_MOST_REASONS = 5

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


def report(
    run: RunArgument,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write each figure to this folder, as SVG and PDF for a paper's column."),
    ] = None,
) -> None:
    """Write the report of a run again, and say where it is.

    Example: `orkester report runs/arithmetic --figures figures`
    """
    from orkester.optim.session.outcome import report as write

    typer.echo(write(run, figures))
    if figures is not None:
        typer.echo(figures)


def print_front(run: Run) -> None:
    """The front as a table; full width when not a terminal, so that nothing is cut in a log."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    found = run.results
    if not found.front:
        console.print(f"No team is on the front of {run.path}.")
        for reason in _why_none(found):
            console.print(f"  {reason}", markup=False)
        _print_warnings(run, console)
        return
    console.print(front_table(found))
    methods = sorted({result.search.energy_method for result in found.front if result.search})
    if len(found.groups) < len(found.front):
        console.print(
            f"{_ALIKE.strip()}: cannot be told apart from the first team of its group in any objective (paired tests "
            "at 5 %); the cheapest team is the first.",
            markup=False,
        )
    console.print(
        f"{len(found.front)} of {len(found.teams)} teams are on the front. "
        f"Energy: {', '.join(methods)}. Brackets: 95 % intervals.",
        markup=False,
    )
    from orkester.optim.insight.choosing import best

    console.print(f"Verdict: {best(found).why}", markup=False, soft_wrap=not console.is_terminal)
    if any(result.front_probability is not None for result in found.front):
        near = " Near: beaten in the search, but more probably on the front than not." if found.likely else ""
        console.print(f"Chance: that no other confirmed team beats it on the held-out examples.{near}", markup=False)
    if thoughts := _thoughts(found):
        console.print(thoughts, markup=False)
    _print_warnings(run, console)


def _thoughts(found: Results) -> str:
    """How much of the output tokens are thoughts, in a line; empty when the front has no thoughts."""
    shares = [share for result in found.front for share in result.agents if share.thought_tokens]
    parts = [100 * (share.thought_tokens or 0) / share.output_tokens for share in shares if share.output_tokens]
    if not parts:
        return ""
    low, high = f"{min(parts):.0f} %", f"{max(parts):.0f} %"
    estimated = any(share.thoughts_estimated for share in shares)
    how = "; estimated from the share of the characters, as the server does not count them" if estimated else ""
    return f"Thoughts: {low if low == high else f'{low} to {high}'} of the output tokens of agents that think{how}."


def _print_warnings(run: Run, console: Console) -> None:
    for subject, lines in (("Cut answers", run.cut_answers), ("Scoring", run.scoring)):
        for line in lines:
            console.print(f"{subject}: {line}", markup=False, soft_wrap=not console.is_terminal)


def _why_none(found: Results) -> list[str]:
    """Why nobody is on the front: by reason, how many teams. Failures with the same cause are one reason."""
    from orkester.serving.server_words import same_cause

    alike: dict[str, Counter[str]] = {}
    for result in found.teams:
        reason = result.infeasible or result.stopped
        failed = any(phase is not None and phase.failures for phase in (result.search, result.confirmed))
        alike.setdefault(same_cause(reason) if failed else reason, Counter())[reason] += 1
    unfinished = alike.pop("", Counter()).total()
    reasons = Counter(
        {
            next(iter(group)) + (" (the numbers differ)" if len(group) > 1 else ""): group.total()
            for group in alike.values()
        }
    )
    lines = [f"{count} × {reason}" for reason, count in sorted(reasons.most_common(_MOST_REASONS))]
    if len(reasons) > _MOST_REASONS:
        lines.append(f"and {len(reasons) - _MOST_REASONS} other reasons; `orkester report` lists them")
    if unfinished:
        lines.append(
            f"{unfinished} not measured to the end when the budget was spent. To continue, add budget: "
            "orkester tune STUDY.yaml --extend llm_calls=NUMBER (or trials, tokens, joules, minutes)"
        )
    return lines


def front_table(found: Results, *, confirmed: bool = True, grouped: bool = True) -> Table:
    """A table of the front: numbers of the search, below them those of confirmation; then teams near the front.

    Args:
        found: The results of a run.
        confirmed: Whether numbers of confirmation, and teams near the front, are shown.
        grouped: Whether members that cannot be told apart stand together, which takes a moment for large fronts.
    """
    from rich.table import Table

    from orkester.evals.objectives.quality import QUALITY
    from orkester.optim.confirm.probability_text import probability_text
    from orkester.optim.run.cut_answer_warnings import notable_share

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("team")
    for name in found.objectives:
        table.add_column(name, justify="right")
    chances = confirmed and any(result.front_probability is not None for result in found.front)
    if chances:
        table.add_column("chance", justify="right")
    named = [(f"{_ALIKE} {member.team}" if i else str(member.team), member) for i, member in _members(found, grouped)]
    named += [(f"near: {each.team}", each) for each in (found.likely if confirmed else ())]
    cut = confirmed and any(notable_share(result) for _, result in named)
    if cut:
        table.add_column("cut", justify="right")
    table.add_column("n", justify="right")
    for name, result in named:
        blank = [""] if chances else []
        if cut:
            blank.append(notable_share(result))
        table.add_row(name, *_cells(result.search, found), *blank, _n(result.search))
        if confirmed and result.confirmed is not None:
            said = [probability_text(result.front_probability)] if chances else []
            if cut:
                said.append("")
            table.add_row("  confirmed", *_cells(result.confirmed, found), *said, _n(result.confirmed), style="dim")
    for baseline in found.baselines if QUALITY.name in found.objectives else ():
        labels: dict[Phase, str] = {"search": f"guess: {baseline.name}"}
        if confirmed and any(each.confirmed for each in found.front):
            labels["confirm"] = "  on held-out examples"
        for phase, label in labels.items():
            quality = baseline.estimate(phase)
            cells = [_plain(quality) if name == QUALITY.name else "" for name in found.objectives]
            table.add_row(label, *cells, *[""] * (chances + bool(cut)), str(quality.n), style="dim")
    return table


def _members(found: Results, grouped: bool) -> Iterator[tuple[int, TeamResult]]:
    """Front members with their number in the group of those that cannot be told apart; all 0 without groups."""
    if not grouped:
        yield from ((0, result) for result in found.front)
        return
    for group in found.groups:
        yield from enumerate(group)


def _cells(measurement: Measurement | None, found: Results) -> list[str]:
    estimates = measurement.estimates if measurement is not None else {}
    return [_plain(estimates[name]) if name in estimates else "–" for name in found.objectives]


def _n(measurement: Measurement | None) -> str:
    return str(measurement.examples) if measurement is not None else "0"


def _plain(estimate: Estimate) -> str:
    """With its interval; an end that is not known is open: ``0.9 [≥ 0.7]``."""
    low, high = estimate.low, estimate.high
    if low is None and high is None:
        return f"{estimate.value:.3g}"
    if low is None or high is None:
        return f"{estimate.value:.3g} \\[{f'≤ {high:.3g}' if low is None else f'≥ {low:.3g}'}]"
    return f"{estimate.value:.3g} \\[{low:.3g}, {high:.3g}]"
