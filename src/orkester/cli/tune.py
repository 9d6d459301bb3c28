"""``orkester tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orkester.errors import OrkesterError


class _Stopped(OrkesterError):
    """Interrupted; Typer ends with the right code by itself, but says nothing."""

    exit_code = 130


def tune(
    study: Annotated[Path, typer.Argument(help="Study file.", metavar="STUDY.yaml")],
    run: Annotated[
        Path | None, typer.Option(help="Run directory; runs/NAME of the study if not given.", metavar="DIR")
    ] = None,
) -> None:
    """Search for the best teams, confirm them, and write the report.

    Goes on where the run directory stands. Ctrl-C once finishes the block under way; twice stops at once.

    Example: `orkester tune examples/arithmetic.yaml`
    """
    import orkester

    from .progress import progress
    from .results import print_front

    asked = orkester.load_study(study)
    directory = run or Path("runs") / asked.name
    try:
        with progress(asked, directory) as observer:
            found = orkester.tune(asked, directory, observer=observer)
    except KeyboardInterrupt as error:
        raise _Stopped(f"{str(error) or 'interrupted'}; the same command goes on from there") from error
    print_front(found)
    typer.echo(f"Report: {found.report}")
    if not found.results.front:
        raise typer.Exit(1)
