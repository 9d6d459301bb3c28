"""The command ``orkester tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orkester.errors import InputError, OrkesterError


class Interrupted(OrkesterError):
    """The user interrupted the command. (Typer alone would exit with this code, too, but without a message.)"""

    exit_code = 130


def tune(
    study: Annotated[Path, typer.Argument(help="The study file.", metavar="STUDY.yaml")],
    run: Annotated[
        Path | None,
        typer.Option(help="The run directory. Default: runs/NAME, with the name of the study.", metavar="DIR"),
    ] = None,
    extend: Annotated[
        list[str] | None,
        typer.Option(
            help="More budget for an existing run: trials, minutes, llm_calls, tokens or joules, in addition to its "
            "earlier budget. May be repeated.",
            metavar="KEY=NUMBER",
        ),
    ] = None,
) -> None:
    """Search for the best teams, confirm them, and write the report.

    If the run directory exists, the run continues from there. Press Ctrl-C once to stop after the current block, twice
    to stop at once.

    Example: `orkester tune examples/arithmetic.yaml`
    """
    import orkester

    from .progress import progress
    from .results import print_front

    more: dict[str, Any] = {"extend": _amounts(extend)} if extend else {}
    loaded_study = orkester.load_study(study)
    directory = run or Path("runs") / loaded_study.name
    try:
        with progress(loaded_study, directory) as observer:
            tuned_run = orkester.tune(loaded_study, directory, observer=observer, **more)
    except KeyboardInterrupt as error:
        raise Interrupted(f"{str(error) or 'interrupted'}; the same command continues the run") from error
    print_front(tuned_run)
    typer.echo(f"Report: {tuned_run.report}")
    if not tuned_run.results.front:
        raise typer.Exit(1)


def _amounts(entries: list[str]) -> dict[str, float]:
    """Convert ``["trials=20"]`` to ``{"trials": 20.0}``, and check it."""
    from orkester.optim.run.extension import checked

    amounts: dict[str, float] = {}
    for entry in entries:
        name, equals, number = (part.strip() for part in entry.partition("="))
        try:
            amount = float(number.replace("_", ""))
        except ValueError:
            amount = None
        if not equals or amount is None:
            raise InputError(f"--extend must be KEY=NUMBER, for example trials=20, but it is {entry!r}")
        if name in amounts:
            raise InputError(f"--extend: {name} is given twice; give it once, with the sum")
        amounts[name] = amount
    return dict(checked(amounts))
