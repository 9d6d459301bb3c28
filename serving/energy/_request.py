"""What a study needs a meter for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orkester.errors import InputError

from ._base import Meter


@dataclass(frozen=True, kw_only=True)
class MeterRequest:
    """What a study needs a meter for.

    Attributes:
        gpus: Whether the engines run on GPUs.
        gpu_count: How many GPUs the engines use: the first ones that this process may use. None for all of those. The
            joules of other GPUs are not the study's.
        folder: Folder that paths among the options are relative to.
        clock: Monotonic seconds.
    """

    gpus: bool
    gpu_count: int | None = None
    folder: Path = Path()
    clock: Callable[[], float] = time.monotonic

    def require_cpu(self, name: str) -> None:
        """For meters that see the CPU alone.

        Raises:
            InputError: The engines run on GPUs.
        """
        if self.gpus:
            raise InputError(
                f"{name} sees the CPU, and these engines run on a GPU; use auto, nvml (NVIDIA) or zeus (AMD)"
            )

    def require_gpus(self, name: str) -> None:
        """For meters that see GPUs alone.

        Raises:
            InputError: The engines run on the CPU.
        """
        if not self.gpus:
            raise InputError(f"{name} sees GPUs here, and these engines run on the CPU; use auto, rapl or estimate")


class MakeMeter(Protocol):
    """What a meter's plug-in is: a class or function that makes the meter.

    Further keyword parameters are the meter's options, which a study file gives as ``meter: {NAME: {OPTION: VALUE}}``.
    """

    def __call__(self, request: MeterRequest, /) -> Meter:
        """The meter.

        Raises:
            InputError: It cannot be had here, or it would leave out the devices that do the work.
        """
        ...
