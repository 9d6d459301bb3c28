"""``orkester.tune``: a study from start to end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.events import Observer, silent
from orkester.optim.study.study import Study
from orkester.serving.catalogue import Catalogue

from .measurement_setup import MeasurementSetup
from .open_run import Run, open_run
from .session import Session
from .study_loading import load_study


def tune(
    study: Study | str | Path,
    run: str | Path | None = None,
    *,
    extend: Mapping[str, float] | None = None,
    observer: Observer = silent,
    catalogue: Catalogue | None = None,
) -> Run:
    """Search, confirm, and write the report; go on where the run directory stands.

    Args:
        study: a study, or the path of a study file.
        run: the run directory; ``runs/<name of the study>`` if None.
        extend: more budget for a run that is there, by the names of its limits: ``{"trials": 20}``. It counts from
            where the run last finished; while it is under way, the same call goes on with it.
        observer: receives an event for everything that happens.
        catalogue: where model names and weights come from.

    Returns:
        The run, with its front.

    Raises:
        InputError: the study or the run directory cannot be used.
        ModelError: weights are absent; ``orkester models pull`` fetches them.
        EngineError: a model does not fit into memory, or its engine cannot be started.
        OrkesterError: the run directory can no longer be written (disk full, say); the same call goes on from there.
        KeyboardInterrupt: after Ctrl-C, once the block under way is on disk; a second Ctrl-C loses that block. Engines
            are stopped first, whatever comes.
    """
    catalogue = catalogue or Catalogue.default()
    if not isinstance(study, Study):
        study = load_study(study, catalogue=catalogue)
    directory = RunDirectory(Path(run) if run is not None else Path("runs") / study.name)
    setup = MeasurementSetup.of(study, catalogue)
    Session(setup=setup, directory=directory, extend=extend or {}, observer=observer).run()
    return open_run(directory.path)
