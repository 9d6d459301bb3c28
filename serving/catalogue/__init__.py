"""Named models: where their weights come from and what they are checked against."""

from ._catalogue import Catalogue
from ._model import Model

__all__ = ["Catalogue", "Model"]
