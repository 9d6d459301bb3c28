"""``orkester bench``."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orkester.errors import InputError

from .results import LOG_WIDTH
from .tune import _Stopped

if TYPE_CHECKING:
    from rich.table import Table

    from orkester.bench.energy import Benchmark

app = typer.Typer(
    no_args_is_help=True,
    help="Measures models and engines apart from any study.\n\n"
    "Example: `orkester bench energy --model arithmetic-80k --batch 1 --batch 4`",
)


@app.callback()
def _bench() -> None:
    """Keeps ``energy`` a command of its own, though there is no other."""


@app.command()
def energy(
    model: Annotated[
        list[str], typer.Option("--model", help="A model, as a study names it; may be repeated.", metavar="NAME")
    ],
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="auto, llamacpp or vllm; may be repeated.", metavar="ENGINE")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option("--batch", help="Requests in flight; may be repeated. 1, 4, 16 if not given.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="JSON lines with question, and perhaps answer; some that come along if not given."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of pictures, or JSON lines with image, question and answer.")
    ] = None,
    scorer: Annotated[str, typer.Option(help="Says which answers are right.")] = "contains",
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 64,
    seconds: Annotated[float, typer.Option(help="Shortest window; longer where the meter needs it.")] = 10.0,
    repeat: Annotated[int, typer.Option(help="Windows of each.")] = 3,
    context_tokens: Annotated[int, typer.Option(help="Longest prompt plus answer.")] = 1024,
    threads: Annotated[int, typer.Option(help="CPU threads for llama.cpp; 0 is all but one.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the order of the windows.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; runs/bench-energy-TIME if not given.", metavar="DIR")
    ] = None,
) -> None:
    """Measure joules per request, output token and success of every model × engine × batch.

    Ctrl-C ends it at once; finished windows are kept.

    Example: `orkester bench energy --model arithmetic-80k --prompts examples/arithmetic.jsonl`
    """
    from typing import get_args

    from orkester.bench.energy import Plan, bench_energy, built_in, load_images, load_prompts
    from orkester.optim.study.engine_parts import LocalEngine

    engines = engine or ["auto"]
    for name in engines:
        if name not in get_args(LocalEngine):
            raise InputError(f"--engine must be one of {', '.join(get_args(LocalEngine))}, but got {name!r}")
    if prompts is not None and images is not None:
        raise InputError("--prompts and --images are two benchmarks: run one after the other")
    asked = load_images(images) if images else load_prompts(prompts) if prompts else built_in()
    plan = Plan(
        models=model,
        engines=engines,  # type: ignore[arg-type]
        batches=batch or [1, 4, 16],
        prompts=asked,
        images=images is not None,
        scorer=scorer,
        max_tokens=max_tokens,
        seconds=seconds,
        repeat=repeat,
        context_tokens=context_tokens,
        threads=threads,
        seed=seed,
    )
    folder = out or Path("runs") / f"bench-energy-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    start_s = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - start_s:6.1f} s] {line}", file=sys.stderr, flush=True)

    try:
        found = bench_energy(plan, folder, say=say)
    except KeyboardInterrupt as error:
        raise _Stopped(f"{str(error) or 'interrupted'}; finished windows are in {folder}") from error
    print_cells(found)
    if not found.whole:
        raise typer.Exit(1)


def print_cells(found: Benchmark) -> None:
    """The cells as a table; full width when not a terminal, so that nothing is cut in a log."""
    from rich.console import Console

    from orkester.bench.energy import cells, short

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    console.print(_table(found))
    for cell in cells(found):
        for mark, count in cell.marks.items():
            where = f"{short(cell.pairing.model)} on {cell.pairing.engine}, batch {cell.batch}"
            console.print(f"{where}: {mark} ({count} of {cell.windows} windows)", markup=False)
    for pairing in found.pairings:
        if pairing.fault:
            console.print(f"{short(pairing.model)} on {pairing.engine} was left: {pairing.fault}", markup=False)
    console.print("Medians over the windows; brackets: least and most.", markup=False)
    for name in ("report.html", "results.csv", "results.json"):
        console.print(f"{name}: {found.folder / name}", markup=False, soft_wrap=True)


def _table(found: Benchmark) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from orkester.bench.energy import FIGURES, UNITS, cells, short

    rows = cells(found)
    shown = [name for name in FIGURES if any(name in cell.figures for cell in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "engine"):
        table.add_column(name, overflow="fold")
    for name in ("batch", *(UNITS[name] for name in shown), "W idle", "failed"):
        table.add_column(name, justify="right")
    table.add_column("energy")
    for cell in rows:
        idle_w = cell.pairing.total_idle_w
        table.add_row(
            escape(short(cell.pairing.model)),
            cell.pairing.engine,
            str(cell.batch),
            *(escape(str(cell.figures.get(name, "–"))) for name in shown),
            "–" if idle_w is None else f"{idle_w:.3g}",
            str(cell.failed),
            cell.pairing.energy_method,
        )
    return table
