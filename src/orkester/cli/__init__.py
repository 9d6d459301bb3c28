"""The command line. Exit codes: 0 (success), 1 (failure), 2 (wrong input), 130 (interrupted)."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from orkester import __version__
from orkester.errors import OrkesterError

from . import bench, engines, models
from .best import best
from .calibrate import calibrate
from .check import check
from .doctor import doctor
from .plugins import list_plugins
from .results import front, report
from .run import run
from .tune import tune
from .verdict import verdict

app = typer.Typer(
    name="orkester",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds the smallest team of agents that plays your task well: quality, latency and energy, measured.\n\n"
    "Example: `orkester tune examples/arithmetic.yaml`",
)
app.command()(tune)
app.command()(check)
app.command()(report)
app.command()(front)
app.command()(best)
app.command()(verdict)
app.command()(run)
app.command("list")(list_plugins)
app.command()(doctor)
app.command()(calibrate)
app.add_typer(bench.app, name="bench")
app.add_typer(models.app, name="models")
app.add_typer(engines.app, name="engines")


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line. Every ``OrkesterError`` becomes a message and an exit code."""
    # numpy reads this variable when it is loaded. Orkester's matrices are small: several threads only wait for each
    # other, and on a machine that others use too, this took ten times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app()
    except OrkesterError as error:
        print(f"orkester: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt as error:
        print(f"\norkester: {error or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # for example a full disk, or a folder without permission; the user needs its message
        print(f"orkester: {error}", file=sys.stderr)
        sys.exit(1)
