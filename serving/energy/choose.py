"""Which meter a study measures with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias

from orkester.errors import InputError, nearest
from orkester.registry import BUILT_IN, require_like, wrong_options

from ._base import Meter
from ._request import MakeMeter, MeterRequest
from ._unavailable import UnavailableMeter
from .meters import METERS

#: What leaves the choice to Orkester.
AUTO_METER: Final = "auto"
#: Options of meters by the meters' names.
Options: TypeAlias = Mapping[str, Mapping[str, Any]]

#: What ``auto`` tries, in this order.
_ON_GPUS: Final = ("nvml", "zeus")
_ON_CPU: Final = ("rapl", "estimate")
#: The order of ``survey``; a recording is always there.
_SURVEYED: Final = ("nvml", "rapl", "zeus", "estimate")


def require_meter(name: str, options: Mapping[str, Any], request: MeterRequest) -> None:
    """See that there is a meter of this name which takes these options; whether it works here is not looked at.

    Raises:
        InputError: There is none, it cannot be imported, or it has no such option.
    """
    if name == AUTO_METER:
        if options:
            raise InputError(f"{AUTO_METER} takes no options")
        return
    if ":" not in name and name not in METERS.names():
        raise InputError(f"unknown meter {nearest(name, (AUTO_METER, *METERS.names()))}, or module:name")
    if fault := wrong_options(_maker(name, request), options):
        raise InputError(f"the meter {name!r} {fault}")


def choose(name: str, request: MeterRequest, options: Options | None = None) -> Meter:
    """A meter that sees the devices which do the work.

    ``auto`` is on a GPU ``nvml``, else ``zeus``, else a meter that says why there is none; on a CPU ``rapl`` where it
    may be read, else ``estimate``.

    Args:
        name: As in a study file: ``auto``, a meter's name, or ``module:name``.
        request: What the meter is needed for.
        options: Options of meters by the meters' names; only those of meters that are tried count.

    Raises:
        InputError: The meter that was named cannot be had, or it would leave out the device that does the work. Never
            with ``auto``.
    """
    options = options or {}
    if name != AUTO_METER:
        require_meter(name, options.get(name, {}), request)
        try:
            made = _maker(name, request)(**options.get(name, {}))
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"the {name} meter cannot be had: {error}") from error
        require_like("meter", name, made, Meter)
        return made
    reasons = []
    for candidate in _ON_GPUS if request.gpus else _ON_CPU:
        try:
            return _maker(candidate, request)(**options.get(candidate, {}))
        except InputError as error:
            reasons.append(f"{candidate}: {error}")
    return UnavailableMeter("; ".join(reasons))


def survey(options: Options | None = None) -> Mapping[str, str]:
    """Every meter: ``yes: …`` with what it would measure, or ``no: …`` with the reason and the remedy.

    Args:
        options: Options of meters by the meters' names.
    """
    lines = {name: _available(name, (options or {}).get(name, {})) for name in _SURVEYED}
    others = [name for name in METERS.names() if name not in lines and METERS.origin(name) != BUILT_IN]
    return lines | {name: _available(name, {}) for name in others}


def _maker(name: str, request: MeterRequest) -> partial[Meter]:
    make: MakeMeter = METERS.get(name, folder=request.folder)
    return partial(make, request)


def _available(name: str, options: Mapping[str, Any]) -> str:
    """Whether the meter works here, for engines on GPUs or on the CPU."""
    request = MeterRequest(gpus=name in _ON_GPUS)
    reasons: list[str] = []
    for attempt in (request, replace(request, gpus=not request.gpus)):
        try:
            meter = _maker(name, attempt)(**options)
        except InputError as error:
            reasons.append(str(error))
            continue
        assumptions, method = meter.assumptions, meter.method
        meter.close()
        devices = assumptions.get("devices")
        if isinstance(devices, Mapping):
            return f"yes: {', '.join(f'{domain} ({device})' for domain, device in devices.items())}, labelled {method}"
        return f"yes: {assumptions.get('model', 'see its documentation')}, labelled {method}"
    return f"no: {reasons[0]}"
