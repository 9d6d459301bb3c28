"""Chooses the meter that a study measures with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias

from orkester.errors import InputError, nearest
from orkester.registry import BUILT_IN, require_like, wrong_options

from ._base import Meter
from ._request import MeterFactory, MeterRequest
from ._unavailable import UnavailableMeter
from .meters import METERS

#: The name that leaves the choice to Orkester.
AUTO_METER: Final = "auto"
#: The options of meters, by the meters' names.
Options: TypeAlias = Mapping[str, Mapping[str, Any]]

#: The meters that ``auto`` tries, in this order.
_ON_GPUS: Final = ("nvml", "zeus")
_ON_CPU: Final = ("rapl", "estimate")
#: The order of ``available_meters``. ``replay`` is not in the list, because it works on every machine.
_LISTED: Final = ("nvml", "rapl", "zeus", "estimate")


def require_meter(name: str, options: Mapping[str, Any], request: MeterRequest) -> None:
    """Check that a meter exists and takes the given options. Whether the meter works on this machine is not checked.

    Args:
        name: The meter's name, ``auto``, or ``module:name``.
        options: The meter's options.
        request: The study's needs.

    Raises:
        InputError: There is no such meter, it cannot be imported, or it has no such option.
    """
    if name == AUTO_METER:
        if options:
            raise InputError(f"the meter {AUTO_METER!r} takes no options; name a meter to give it options")
        return
    if ":" not in name and name not in METERS.names():
        raise InputError(f"unknown meter {nearest(name, (AUTO_METER, *METERS.names()))}, or module:name")
    if fault := wrong_options(_maker(name, request), options):
        raise InputError(f"the meter {name!r} {fault}")


def choose_meter(name: str, request: MeterRequest, options: Options | None = None) -> Meter:
    """Make a meter that measures the devices which do the work.

    For engines on a GPU, ``auto`` is ``nvml``, or else ``zeus``, or else a meter that only reports why there is no
    meter. For engines on the CPU, it is ``rapl`` if it can be read, or else ``estimate``.

    Args:
        name: The name in a study file: ``auto``, a meter's name, or ``module:name``.
        request: The study's needs.
        options: The options of meters, by the meters' names. Only the options of meters that are tried are used.

    Returns:
        The meter.

    Raises:
        InputError: The named meter cannot be used, or it would leave out the device that does the work. ``auto`` never
            raises it.
    """
    options = options or {}
    if name != AUTO_METER:
        require_meter(name, options.get(name, {}), request)
        try:
            meter = _maker(name, request)(**options.get(name, {}))
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"the {name} meter cannot be used: {error}") from error
        require_like("meter", name, meter, Meter)
        return meter
    reasons = []
    for candidate in _ON_GPUS if request.gpus else _ON_CPU:
        try:
            return _maker(candidate, request)(**options.get(candidate, {}))
        except InputError as error:
            reasons.append(f"{candidate}: {error}")
    return UnavailableMeter("; ".join(reasons))


def available_meters(options: Options | None = None) -> Mapping[str, str]:
    """Check which meters work on this machine.

    Args:
        options: The options of meters, by the meters' names.

    Returns:
        For each meter ``yes: …`` with the devices that it measures, or ``no: …`` with the reason and the remedy.
    """
    lines = {name: _available(name, (options or {}).get(name, {})) for name in _LISTED}
    others = [name for name in METERS.names() if name not in lines and METERS.origin(name) != BUILT_IN]
    return lines | {name: _available(name, {}) for name in others}


def _maker(name: str, request: MeterRequest) -> partial[Meter]:
    factory: MeterFactory = METERS.get(name, folder=request.folder)
    return partial(factory, request)


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
