"""Energy meters, one file each."""

from ._base import Limits, Meter, Reading
from ._estimate import EstimateMeter, PowerModel
from ._unavailable import UnavailableMeter

__all__ = ["EstimateMeter", "Limits", "Meter", "PowerModel", "Reading", "UnavailableMeter"]
