"""A run directory: one study's records, held by one process at a time."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import yaml

from orkester.errors import InputError

SCHEMA = 1
_MANIFEST = "study.yaml"
_DRAFT = "study.tmp"
_LOCK = "lock"
#: Most things that one message names.
_SHOWN = 5
#: What a manifest has at least.
_KEYS: Mapping[str, type] = {"schema": int, "study": dict, "name": str, "sizes": dict}
_PACKAGES = ("orkester", "langgraph", "openai", "optuna", "opentelemetry-sdk", "pydantic", "xllamacpp")


class RunDirectory:
    """``runs/<study>/``: manifest, Optuna's database, blocks, traces, logs, teams, report.

    Enter it to hold it: a second process is refused. Nothing is written before that.

    Args:
        path: the directory; made on entering.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def blocks(self) -> Path:
        """A line per block."""
        return self.path / "blocks.jsonl"

    @property
    def engines(self) -> Path:
        """A line for whatever befell an engine."""
        return self.path / "engines.jsonl"

    @property
    def database(self) -> Path:
        """Optuna's study."""
        return self.path / "optuna.db"

    @property
    def traces(self) -> Path:
        """OTLP JSON lines."""
        return self.path / "traces"

    @property
    def logs(self) -> Path:
        """Output of engines."""
        return self.path / "logs"

    @property
    def teams(self) -> Path:
        """Configurations of front members."""
        return self.path / "teams"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def __enter__(self) -> RunDirectory:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._refuse_what_is_no_run({entry.name for entry in self.path.iterdir()})
            self._lock = (self.path / _LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be used as a run directory: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            self._lock.close()
            self._lock = None
            raise InputError(
                f"{self.path} is in use by process {owner}; wait until it ends, end it, or give --run another directory"
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()  # which releases it; the file stays, since removing it would race with the next owner
            self._lock = None

    def _refuse_what_is_no_run(self, names: set[str]) -> None:
        """A folder with other things in it is left alone; one that was killed before its manifest was there is not."""
        foreign = sorted(name for name in names - {_LOCK, _DRAFT} if not name.startswith("."))
        if _MANIFEST not in names and foreign:
            raise InputError(
                f"{self.path} is not a run directory: it has no {_MANIFEST}, but {_some(foreign)}; give --run a new "
                "or an empty directory"
            )

    def manifest(self) -> Mapping[str, Any] | None:
        """What the run was made for; None when there is no run here yet.

        Raises:
            InputError: written by a newer Orkester, or not readable as a manifest.
        """
        path = self.path / _MANIFEST
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path}: cannot be read as a run's manifest: {error}") from error
        schema = data.get("schema") if isinstance(data, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(
                f"{path}: written by a newer Orkester (schema {schema}, this one reads up to {SCHEMA}); upgrade"
            )
        if not isinstance(data, dict) or not all(isinstance(data.get(key), kind) for key, kind in _KEYS.items()):
            raise InputError(f"{path}: this is not the manifest of a run; give --run another directory")
        return data

    def begin(self, study: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write the manifest, or check that the one there is of the same study.

        Args:
            study: what identifies it: everything that was asked except the budget, plain data.
            facts: what else belongs in it, ``name`` and ``sizes`` at least; written once, when the run begins.

        Raises:
            InputError: the directory holds another study; the message says what differs.
        """
        there = self.manifest()
        asked = json.loads(json.dumps(study))
        if there is None:
            self.write_manifest({"schema": SCHEMA, "study": asked, **facts, "versions": versions()})
            return
        if there["study"] != asked:
            different = _some(list(_differences(there["study"], asked)))
            raise InputError(
                f"{self.path} is the run of another study. Not the same: {different}. "
                "Give --run another directory, or remove this one if it is not needed"
            )

    def settle(self, key: str, decide: Callable[[], Any]) -> Any:
        """A decision that every resume has to stand by: the one in the manifest, or one made now and written there.

        Args:
            key: its name in the manifest.
            decide: makes it; plain data.
        """
        data = dict(self.manifest() or {})
        if key not in data:
            data[key] = decide()
            self.write_manifest(data)
        return data[key]

    def write_manifest(self, data: Mapping[str, Any]) -> None:
        """Replace the manifest in one step."""
        path = self.path / _MANIFEST
        draft = self.path / _DRAFT
        with draft.open("w", encoding="utf-8") as file:
            yaml.safe_dump(dict(data), file, sort_keys=False, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def _differences(there: Any, asked: Any, key: str = "") -> Iterator[str]:
    """The keys in which two mappings differ, with what they say."""
    if isinstance(there, dict) and isinstance(asked, dict):
        for name in dict.fromkeys([*asked, *there]):
            yield from _differences(there.get(name), asked.get(name), f"{key}.{name}" if key else name)
    elif there != asked:
        yield f"{key} (there {_short(there)}, asked for {_short(asked)})"


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "…"


def _some(entries: Sequence[str]) -> str:
    """The first few of them."""
    more = len(entries) - _SHOWN
    return ", ".join(entries[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def versions() -> dict[str, str]:
    """Versions of the packages that matter to a number."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
