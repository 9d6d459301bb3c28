"""Meters, one file each: where joules come from.

A file whose name has no underscore in front defines ``meter``, a function that takes a ``MeterRequest`` and returns the
meter.
"""

from __future__ import annotations

from typing import Final, cast

from orkester.registry import Registry, files_of

from .._request import MeterFactory


def _accept(_: str, loaded: object) -> MeterFactory:
    if not callable(loaded):
        raise TypeError(f"is neither a class nor a function but {loaded!r:.60}")
    return cast("MeterFactory", loaded)


METERS: Final = Registry(
    kind="meter", group="meters", built_in=files_of("orkester.serving.energy.meters", "meter"), accept=_accept
)
