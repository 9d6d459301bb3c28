"""Loads the plug-ins that a run's records are read with: its topologies and objectives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orkester.errors import InputError
from orkester.evals.objectives import objective
from orkester.graphs import topology


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
