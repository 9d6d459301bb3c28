"""Which meter a study measures with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from orkester.errors import InputError

from ._base import Meter
from ._estimate import EstimateMeter, PowerModel
from ._nvml import NvmlMeter
from ._rapl import POWERCAP, RaplMeter
from ._replay import ReplayMeter
from ._unavailable import UnavailableMeter
from ._zeus import ZeusDevices, ZeusMeter

MeterName: TypeAlias = Literal["auto", "nvml", "rapl", "zeus", "estimate", "replay"]


def choose(
    name: MeterName,
    *,
    gpus: bool,
    replay: Path | None = None,
    gpu_count: int | None = None,
    power: PowerModel | None = None,
    root: Path = POWERCAP,
    nvml: Any = None,
    devices: ZeusDevices | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Meter:
    """A meter that sees the devices which do the work.

    ``auto`` is on a GPU ``nvml``, else ``zeus``, else a meter that says why there is none; on a CPU ``rapl`` where it
    may be read, else ``estimate``.

    Args:
        name: as in a study file.
        gpus: whether the engines run on GPUs.
        replay: the recording, for ``replay``.
        gpu_count: how many GPUs the engines use, the first ones that this process may; None for all of those. Others
            are not measured.
        power: of ``estimate``.
        root: where the kernel shows power zones.
        nvml: what to ask instead of the module ``pynvml``.
        devices: what there is, instead of asking Zeus.
        clock: monotonic seconds.

    Raises:
        InputError: what was named is not to be had, or would leave out the device that does the work; never with
            ``auto``.
    """
    if name == "auto":
        return _auto(gpus=gpus, gpu_count=gpu_count, power=power, root=root, nvml=nvml, devices=devices, clock=clock)
    if name == "replay":
        if replay is None:
            raise InputError("the replay meter needs a recording; name its file")
        return ReplayMeter(replay, clock=clock)
    if name in {"rapl", "estimate"} and gpus:
        raise InputError(
            f"the {name} meter sees the CPU, and these engines run on a GPU; use auto, nvml (NVIDIA) or zeus (AMD)"
        )
    without_cpu = f"the {name} meter sees GPUs here, and these engines run on the CPU; use auto, rapl or estimate"
    if name == "nvml" and not gpus:
        raise InputError(without_cpu)
    try:
        match name:
            case "nvml":
                return _nvml(gpu_count, nvml, clock)
            case "rapl":
                return RaplMeter(root, clock=clock)
            case "estimate":
                return EstimateMeter(power, clock=clock)
        meter = ZeusMeter(devices, gpu_count=gpu_count, clock=clock)
    except InputError as error:
        raise InputError(f"the {name} meter cannot be had: {error}") from error
    if not gpus and not meter.sees_cpu:
        meter.close()
        raise InputError(without_cpu)
    return meter


def survey(*, root: Path = POWERCAP, nvml: Any = None, devices: ZeusDevices | None = None) -> Mapping[str, str]:
    """Every meter: ``yes: …`` with what it would measure, or ``no: …`` with the reason and the remedy.

    Args:
        root: where the kernel shows power zones.
        nvml: what to ask instead of the module ``pynvml``.
        devices: what there is, instead of asking Zeus.
    """
    model = PowerModel()
    return {
        "nvml": _try(lambda: _nvml(None, nvml, time.monotonic)),
        "rapl": _try(lambda: RaplMeter(root)),
        "zeus": _try(lambda: ZeusMeter(devices)),
        "estimate": (
            f"yes: CPU seconds × {model.active_w_per_core:g} W per busy core "
            f"({model.low_w_per_core:g} to {model.high_w_per_core:g}); not for GPUs"
        ),
        "replay": "yes: plays back a recording in CSV",
    }


def _auto(
    *,
    gpus: bool,
    gpu_count: int | None,
    power: PowerModel | None,
    root: Path,
    nvml: Any,
    devices: ZeusDevices | None,
    clock: Callable[[], float],
) -> Meter:
    if not gpus:
        try:
            return RaplMeter(root, clock=clock)
        except InputError:
            return EstimateMeter(power, clock=clock)
    reasons = []
    try:
        return _nvml(gpu_count, nvml, clock)
    except InputError as error:
        reasons.append(f"nvml: {error}")
    try:
        return ZeusMeter(devices, gpu_count=gpu_count, clock=clock)
    except InputError as error:
        reasons.append(f"zeus: {error}")
    return UnavailableMeter("; ".join(reasons))


def _nvml(gpu_count: int | None, nvml: Any, clock: Callable[[], float]) -> NvmlMeter:
    """Of the GPUs that this process may use: the driver lists all, and others' joules are none of ours."""
    if nvml is not None:
        return NvmlMeter(None if gpu_count is None else range(gpu_count), nvml=nvml, clock=clock)
    from .. import machine

    found, why = machine.gpus()
    mine = [gpu.index for gpu in found if gpu.vendor == "nvidia"][:gpu_count]
    if not mine:
        raise InputError(f"there is no NVIDIA GPU that this process may use ({why or 'those here are AMD'})")
    return NvmlMeter(mine, clock=clock)


def _try(make: Callable[[], Meter]) -> str:
    try:
        meter = make()
    except InputError as error:
        return f"no: {error}"
    devices = meter.assumptions["devices"]
    meter.close()
    named = [f"{domain} ({name})" for domain, name in devices.items()] if isinstance(devices, Mapping) else []
    return f"yes: {', '.join(named)}, labelled {meter.method}"
