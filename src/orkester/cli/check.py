"""The command ``orkester check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(study: Annotated[Path, typer.Argument(help="The study file.", metavar="STUDY.yaml")]) -> None:
    """Check a study file, and everything that it names, without starting an engine or writing anything.

    Example: `orkester check examples/arithmetic.yaml`
    """
    import orkester
    from orkester.optim.session.measurement_setup import MeasurementSetup
    from orkester.serving.catalogue import Catalogue

    loaded = orkester.load_study(study)
    for note in loaded.notes:
        typer.echo(note)
    sizes, task, teams = loaded.sizes, loaded.task, len(loaded.space)
    typer.echo(
        f"{loaded.name}: {teams:,} {'team' if teams == 1 else 'teams'} to choose from; "
        f"{sizes['search']} examples for the search, "
        f"{sizes['confirm']} held out for confirmation, {len(task.shots)} shots"
    )
    setup = MeasurementSetup.of(loaded, Catalogue.default())
    typer.echo(f"models: {', '.join(loaded.models)}; energy: {setup.meter.method}")
    setup.require()
    typer.echo(f"Everything is there. To run it: orkester tune {study}")
