"""The command line. Exit codes: 0, 1 (it failed), 2 (what was asked is wrong), 130 (interrupted)."""

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
from .doctor import doctor
from .plugins import list_plugins
from .results import front, report
from .run import run
from .tune import tune

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
app.command()(report)
app.command()(front)
app.command()(best)
app.command()(run)
app.command("list")(list_plugins)
app.command()(doctor)
app.command()(calibrate)
app.add_typer(bench.app, name="bench")
app.add_typer(models.app, name="models")
app.add_typer(engines.app, name="engines")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; every error Orkester raises on purpose becomes a message and an exit code."""
    # numpy reads this when it is loaded. Our matrices are small: more threads only wait for each other, and on
    # processors that others use too that took ten times as long.
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
    except OSError as error:  # a full disk, a folder without permission: what it says is for the user
        print(f"orkester: {error}", file=sys.stderr)
        sys.exit(1)
