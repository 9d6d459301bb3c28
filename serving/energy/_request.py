"""The request for a meter: the devices that a study's engines run on."""

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
    """A study's needs, from which a meter is made.

    Attributes:
        gpus: Whether the engines run on GPUs.
        gpu_count: The number of GPUs that the engines use, from the first that this process may use; None for all of
            them. Other GPUs are not measured.
        folder: The folder that paths in a meter's options are relative to.
        clock: The clock, in monotonic seconds.
    """

    gpus: bool
    gpu_count: int | None = None
    folder: Path = Path()
    clock: Callable[[], float] = time.monotonic

    def require_cpu(self, name: str) -> None:
        """Check that the engines run on the CPU, for a meter that measures only the CPU.

        Args:
            name: The meter's name.

        Raises:
            InputError: The engines run on GPUs.
        """
        if self.gpus:
            raise InputError(
                f"{name} measures the CPU, but these engines run on a GPU; use auto, nvml (NVIDIA) or zeus (AMD)"
            )

    def require_gpus(self, name: str) -> None:
        """Check that the engines run on GPUs, for a meter that measures only GPUs.

        Args:
            name: The meter's name.

        Raises:
            InputError: The engines run on the CPU.
        """
        if not self.gpus:
            raise InputError(
                f"{name} measures GPUs on this machine, but these engines run on the CPU; use auto, rapl or estimate"
            )


class MeterFactory(Protocol):
    """The plug-in of a meter: a class or a function that makes the meter.

    Further keyword parameters are the meter's options, which a study file gives as ``meter: {NAME: {OPTION: VALUE}}``.
    """

    def __call__(self, request: MeterRequest, /) -> Meter:
        """Make the meter.

        Args:
            request: The study's needs.

        Returns:
            The meter, ready to be read.

        Raises:
            InputError: The meter cannot be used here, or it would leave out the devices that do the work.
        """
        ...
