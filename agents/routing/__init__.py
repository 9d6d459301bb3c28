"""Routing policies, one file each: which model or agent gets a question.

A file whose name has no underscore in front defines ``routing``: a class, which is called with the options of the study
file and makes a ``RoutingPolicy``, or a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from orkester.errors import InputError
from orkester.registry import Registry, files_of, wrong_options

from ._base import LearningPolicy, Route, RoutingPolicy, RoutingRecord, RoutingRequest

__all__ = [
    "ROUTING",
    "LearningPolicy",
    "Route",
    "RoutingPolicy",
    "RoutingRecord",
    "RoutingRequest",
    "routing_policies",
    "routing_policy",
]


def _accept(_: str, loaded: object) -> Callable[..., RoutingPolicy]:
    if not isinstance(loaded, RoutingPolicy):  # a class with the method passes, too
        raise TypeError(f"has no method 'route': {loaded!r:.60}")
    return loaded if isinstance(loaded, type) else lambda: loaded


ROUTING: Final = Registry(
    kind="routing policy", group="routing", built_in=files_of("orkester.agents.routing", "routing"), accept=_accept
)


def routing_policies() -> Sequence[str]:
    """The names of the routing policies: first those of Orkester, then those of installed packages."""
    return ROUTING.names()


def routing_policy(name: str, options: Mapping[str, Any] | None = None, *, folder: Path | None = None) -> RoutingPolicy:
    """Make a routing policy.

    Args:
        name: A name, or ``module:name``.
        options: The options of the policy, by name.
        folder: The folder that is searched for a module before other folders.

    Returns:
        The routing policy.

    Raises:
        InputError: There is no such routing policy, it cannot be used, or it does not take these options.
    """
    make = ROUTING.get(name, folder=folder)
    options = options or {}
    if fault := wrong_options(make, options):
        raise InputError(f"the routing policy {name!r} {fault}")
    try:
        return make(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"the routing policy {name!r} does not take the options {dict(options)!r}: {error}") from error
