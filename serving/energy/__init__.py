"""Energy meters, one file each."""

from ._base import Meter, Reading
from ._estimate import EstimateMeter, PowerModel
from ._unavailable import UnavailableMeter

__all__ = ["EstimateMeter", "Meter", "PowerModel", "Reading", "UnavailableMeter"]
