"""The command ``orkester bench``."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orkester.errors import InputError

from .results import LOG_WIDTH
from .tune import Interrupted

if TYPE_CHECKING:
    from rich.table import Table

    from orkester.bench.energy import Benchmark

app = typer.Typer(
    no_args_is_help=True,
    help="Measures models and engines without a study.\n\n"
    "Example: `orkester bench energy --model arithmetic-80k --batch 1 --batch 4`",
)


@app.callback()
def _bench() -> None:
    """Keeps ``energy`` a subcommand: without this callback, Typer would merge a single command into ``bench``."""


@app.command()
def energy(
    model: Annotated[
        list[str],
        typer.Option("--model", help="A model, named as in a study file; may be repeated.", metavar="NAME"),
    ],
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="auto, llamacpp or vllm; may be repeated.", metavar="ENGINE")
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option("--batch", help="Requests at the same time; may be repeated. Default: 1, 4 and 16."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="JSON lines with question and, if known, answer. Default: the prompts of Orkester."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="A folder of pictures, or JSON lines with image, question and answer.")
    ] = None,
    scorer: Annotated[str, typer.Option(help="The scorer that decides which answers are right.")] = "contains",
    max_tokens: Annotated[int, typer.Option(help="Maximum tokens of an answer.")] = 64,
    seconds: Annotated[
        float, typer.Option(help="Shortest window in seconds; windows are longer if the meter needs it.")
    ] = 10.0,
    repeat: Annotated[int, typer.Option(help="Windows per model, engine and batch.")] = 3,
    context_tokens: Annotated[int, typer.Option(help="Maximum tokens of prompt and answer together.")] = 1024,
    threads: Annotated[int, typer.Option(help="CPU threads for llama.cpp; 0 means all but one.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the order of the windows.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: runs/bench-energy-TIME.", metavar="DIR")
    ] = None,
) -> None:
    """Measure joules per request, per output token and per success for every model × engine × batch.

    Ctrl-C stops the benchmark at once; finished windows are kept.

    Example: `orkester bench energy --model arithmetic-80k --prompts examples/arithmetic.jsonl`
    """
    from typing import get_args

    from orkester.bench.energy import Plan, bench_energy, built_in_prompts, load_images, load_prompts
    from orkester.optim.study.engine_parts import LocalEngine

    engines = engine or ["auto"]
    for name in engines:
        if name not in get_args(LocalEngine):
            raise InputError(f"--engine must be one of {', '.join(get_args(LocalEngine))}, but got {name!r}")
    if prompts is not None and images is not None:
        raise InputError("--prompts and --images cannot be used together; run the benchmark once with each")
    chosen_prompts = load_images(images) if images else load_prompts(prompts) if prompts else built_in_prompts()
    plan = Plan(
        models=model,
        engines=engines,  # type: ignore[arg-type]
        batches=batch or [1, 4, 16],
        prompts=chosen_prompts,
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

    def print_line(line: str) -> None:
        print(f"[{time.monotonic() - start_s:6.1f} s] {line}", file=sys.stderr, flush=True)

    try:
        benchmark = bench_energy(plan, folder, say=print_line)
    except KeyboardInterrupt as error:
        raise Interrupted(f"{str(error) or 'interrupted'}; finished windows are in {folder}") from error
    print_cells(benchmark)
    if not benchmark.is_complete:
        raise typer.Exit(1)


def print_cells(benchmark: Benchmark) -> None:
    """Print the cells as a table. It has full width when the output is not a terminal, so that logs are complete.

    Args:
        benchmark: The results.
    """
    from rich.console import Console

    from orkester.bench.energy import cells, short_name

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    console.print(_table(benchmark))
    for cell in cells(benchmark):
        for mark, count in cell.marks.items():
            place = f"{short_name(cell.pairing.model)} on {cell.pairing.engine}, batch {cell.batch}"
            console.print(f"{place}: {mark} ({count} of {cell.windows} windows)", markup=False)
    for pairing in benchmark.pairings:
        if pairing.fault:
            name = f"{short_name(pairing.model)} on {pairing.engine}"
            console.print(f"{name} was not measured completely: {pairing.fault}", markup=False)
    console.print("Medians over the windows; brackets: lowest and highest.", markup=False)
    for name in ("report.html", "results.csv", "results.json"):
        console.print(f"{name}: {benchmark.folder / name}", markup=False, soft_wrap=True)


def _table(benchmark: Benchmark) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from orkester.bench.energy import FIGURES, UNITS, cells, short_name

    rows = cells(benchmark)
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
            escape(short_name(cell.pairing.model)),
            cell.pairing.engine,
            str(cell.batch),
            *(escape(str(cell.figures.get(name, "–"))) for name in shown),
            "–" if idle_w is None else f"{idle_w:.3g}",
            str(cell.failed),
            cell.pairing.energy_method,
        )
    return table
