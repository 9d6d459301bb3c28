"""``orkester tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
    with progress(asked, directory) as observer:
        found = orkester.tune(asked, directory, observer=observer)
    print_front(found)
    typer.echo(f"Report: {found.report}")
