"""The command ``orkester list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orkester.errors import InputError, unknown

from .results import LOG_WIDTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orkester.registry import Registry


def list_plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="topologies, scorers, engines, meters, samplers, routing, tools or objectives. Default: all.",
            metavar="[KIND]",
        ),
    ] = None,
) -> None:
    """Show the plug-ins that a study can use: topologies, scorers, objectives and so on, and where each comes from.

    A plug-in of another package that cannot be imported is shown with the first line of its error.

    Example: `orkester list topologies`
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    registries = _registries()
    if kind is not None and kind not in registries:
        raise InputError(unknown("kind of plug-in", kind, registries))
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)
    for name in registries if kind is None else [kind]:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column(name, no_wrap=True)
        table.add_column("from", no_wrap=True)
        table.add_column("what it is", overflow="fold")
        rows = registries[name].listed()
        for row in rows:
            description = Text(f"cannot be used: {row.fault}", style="red") if row.fault else Text(row.summary)
            table.add_row(row.name, row.origin, description)
        if not rows:
            table.add_row(Text("none", style="dim"), "", "your own packages and modules can add some")
        console.print(table)
        if name is not kind and name != list(registries)[-1]:
            console.print()


def _registries() -> Mapping[str, Registry[Any]]:
    """All registries, by the plural of their kind of plug-in."""
    from orkester.agents.routing import ROUTING
    from orkester.agents.tools import TOOLS
    from orkester.evals.objectives import OBJECTIVES
    from orkester.evals.scorers import SCORERS
    from orkester.graphs import TOPOLOGIES
    from orkester.optim.search.samplers import SAMPLERS
    from orkester.serving.energy import METERS
    from orkester.serving.engines import ENGINES

    registries: list[Registry[Any]] = [TOPOLOGIES, SCORERS, ENGINES, METERS, SAMPLERS, ROUTING, TOOLS, OBJECTIVES]
    return {registry.group: registry for registry in registries}
