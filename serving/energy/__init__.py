"""Energy: the choice of a meter, its readings over a window, and how joules are shared among calls."""

from ._base import Limits, Meter, Reading
from ._idle import IdlePower
from ._request import MeterFactory, MeterRequest
from ._sampler import Sampler
from ._stopwatch import Stopwatch
from ._unavailable import UnavailableMeter
from ._window import Window, window
from .choose import AUTO_METER, available_meters, choose_meter, require_meter
from .meters import METERS
from .meters.estimate import EstimateMeter, PowerModel
from .meters.nvml import NvmlMeter
from .meters.rapl import RaplMeter
from .meters.replay import ReplayMeter, record
from .meters.zeus import ZeusMeter

__all__ = [
    "AUTO_METER",
    "METERS",
    "EstimateMeter",
    "IdlePower",
    "Limits",
    "Meter",
    "MeterFactory",
    "MeterRequest",
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
    "available_meters",
    "choose_meter",
    "record",
    "require_meter",
    "window",
]
