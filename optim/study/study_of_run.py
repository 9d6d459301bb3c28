"""What the manifest of a run says of its study: plug-ins that its records are read with, and its space of teams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orkester.errors import InputError
from orkester.evals.objectives import objective
from orkester.graphs import topology

from .space import Space, build_space
from .study_file import StudyFile


def load_plugins(manifest: Mapping[str, Any]) -> None:
    """Load the objectives of a run, so that its blocks are measured in them, and topologies beside its study file.

    Args:
        manifest: The run's; it says in which folder the study file was.

    Raises:
        InputError: One cannot be loaded; the message says where it was looked for.
    """
    study = manifest["study"]
    folder = Path(manifest["folder"]) if "folder" in manifest else None
    try:
        for name in study.get("search", {}):
            if ":" in name:
                topology(name, folder=folder)
        for name in (*study.get("objectives", {}), *study.get("constraints", {})):
            objective(name, folder=folder)
    except InputError as error:
        raise InputError(f"the study of this run cannot be read: {error}") from error


def space_of_run(manifest: Mapping[str, Any]) -> Space | None:
    """The teams that a run could try.

    Args:
        manifest: The run's; its plug-ins are loaded.

    Returns:
        None where the manifest does not say it, or names an unknown topology.
    """
    asked = manifest.get("study", {})
    faults: list[str] = []
    try:
        part = {key: asked[key] for key in ("name", "search", "roles", "objectives", "engine_options") if key in asked}
        task = {key: asked["task"][key] for key in ("data", "scorer")}
        file = StudyFile.model_validate({**part, "task": task, "models": list(asked["models"])})
    except (KeyError, TypeError, ValidationError):
        return None
    space = build_space(file, lambda _, message: faults.append(message))
    return space if not faults else None
