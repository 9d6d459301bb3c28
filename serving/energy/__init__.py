"""Energy meters, one file each, and what their readings say."""

from ._base import Limits, Meter, Reading
from ._choose import choose, survey
from ._estimate import EstimateMeter, PowerModel
from ._idle import IdlePower
from ._nvml import NvmlMeter
from ._rapl import RaplMeter
from ._replay import ReplayMeter, record
from ._sampler import Sampler
from ._stopwatch import Stopwatch
from ._unavailable import UnavailableMeter
from ._window import Window, window
from ._zeus import ZeusMeter

__all__ = [
    "EstimateMeter",
    "IdlePower",
    "Limits",
    "Meter",
    "NvmlMeter",
    "PowerModel",
    "RaplMeter",
    "Reading",
    "ReplayMeter",
    "Sampler",
    "Stopwatch",
    "UnavailableMeter",
    "Window",
    "ZeusMeter",
    "choose",
    "record",
    "survey",
    "window",
]
