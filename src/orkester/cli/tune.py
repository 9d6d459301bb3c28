"""``orkester tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orkester.errors import InputError, OrkesterError


class _Stopped(OrkesterError):
    """Interrupted; Typer ends with the right code by itself, but says nothing."""

    exit_code = 130


def tune(
    study: Annotated[Path, typer.Argument(help="Study file.", metavar="STUDY.yaml")],
    run: Annotated[
        Path | None, typer.Option(help="Run directory; runs/NAME of the study if not given.", metavar="DIR")
    ] = None,
    extend: Annotated[
        list[str] | None,
        typer.Option(
            help="More budget for a run that is there: trials, minutes, llm_calls, tokens or joules, on top of what it "
            "was given and has spent. May be given several times.",
            metavar="KEY=NUMBER",
        ),
    ] = None,
) -> None:
    """Search for the best teams, confirm them, and write the report.

    Goes on where the run directory stands. Ctrl-C once finishes the block under way; twice stops at once.

    Example: `orkester tune examples/arithmetic.yaml`
    """
    import orkester

    from .progress import progress
    from .results import print_front

    more: dict[str, Any] = {"extend": _amounts(extend)} if extend else {}
    asked = orkester.load_study(study)
    directory = run or Path("runs") / asked.name
    try:
        with progress(asked, directory) as observer:
            found = orkester.tune(asked, directory, observer=observer, **more)
    except KeyboardInterrupt as error:
        raise _Stopped(f"{str(error) or 'interrupted'}; the same command goes on from there") from error
    print_front(found)
    typer.echo(f"Report: {found.report}")
    if not found.results.front:
        raise typer.Exit(1)


def _amounts(entries: list[str]) -> dict[str, float]:
    """``["trials=20"]`` as ``{"trials": 20.0}``, checked."""
    from orkester.optim.run.extension import checked

    found: dict[str, float] = {}
    for entry in entries:
        name, equals, number = (part.strip() for part in entry.partition("="))
        try:
            amount = float(number.replace("_", ""))
        except ValueError:
            amount = None
        if not equals or amount is None:
            raise InputError(f"--extend takes KEY=NUMBER, such as trials=20, but got {entry!r}")
        if name in found:
            raise InputError(f"--extend: {name} is given twice; give it once, with the sum")
        found[name] = amount
    return dict(checked(found))
