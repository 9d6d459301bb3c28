"""Routing policies, one file each: which model or agent gets a question.

A file whose name has no underscore in front defines ``routing``, a ``RoutingPolicy``. None comes with Orkester yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from orkester.registry import Registry, files_of

from ._base import Route, RoutingPolicy, RoutingRequest

__all__ = ["ROUTING", "Route", "RoutingPolicy", "RoutingRequest", "routing_policy"]


def _accept(_: str, loaded: object) -> RoutingPolicy:
    if not isinstance(loaded, RoutingPolicy):
        raise TypeError(f"has no method 'route': {loaded!r:.60}")
    return loaded


ROUTING: Final = Registry(
    kind="routing policy", group="routing", built_in=files_of("orkester.agents.routing", "routing"), accept=_accept
)


def routing_policy(name: str, *, folder: Path | None = None) -> RoutingPolicy:
    """Find a routing policy.

    Args:
        name: A name, or ``module:name``.
        folder: The folder that is searched for a module before other folders.

    Returns:
        The routing policy.

    Raises:
        InputError: There is no such routing policy, or it cannot be used.
    """
    return ROUTING.get(name, folder=folder)
