"""The run directory: the records of one study, which one process at a time may use."""

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
#: The maximum number of entries that a message lists.
_SHOWN = 5
#: The keys that every manifest has, with the types of their values.
_KEYS: Mapping[str, type] = {"schema": int, "study": dict, "name": str, "sizes": dict}
_PACKAGES = ("orkester", "langgraph", "openai", "optuna", "opentelemetry-sdk", "pydantic", "xllamacpp")


class RunDirectory:
    """The folder ``runs/<study>/`` with manifest, Optuna's database, blocks, traces, logs, teams and report.

    It is a context manager. Entering it locks the folder against other processes. Nothing is written before that.

    Args:
        path: The folder. It is created on entering.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def blocks(self) -> Path:
        """The file of blocks, one line per block."""
        return self.path / "blocks.jsonl"

    @property
    def engines(self) -> Path:
        """The file of engine events, one line per event."""
        return self.path / "engines.jsonl"

    @property
    def database(self) -> Path:
        """The database of Optuna's study."""
        return self.path / "optuna.db"

    @property
    def traces(self) -> Path:
        """The folder of traces, as OTLP JSON lines."""
        return self.path / "traces"

    @property
    def logs(self) -> Path:
        """The folder with the output of the engines."""
        return self.path / "logs"

    @property
    def teams(self) -> Path:
        """The folder of team files."""
        return self.path / "teams"

    @property
    def report(self) -> Path:
        """The report, an HTML file."""
        return self.path / "report.html"

    def __enter__(self) -> RunDirectory:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._require_run_or_empty({entry.name for entry in self.path.iterdir()})
            self._lock = (self.path / _LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{self.path}: this path cannot be used as a run directory: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            self._lock.close()
            self._lock = None
            raise InputError(
                f"{self.path} is in use by process {owner}; wait until the process ends, stop it, or use another "
                "directory with --run"
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._lock is not None:
            # Closing the file releases the lock. The file stays, because another process may have opened it already.
            self._lock.close()
            self._lock = None

    def _require_run_or_empty(self, names: set[str]) -> None:
        """Refuse a folder with other files. A run that was killed before it wrote its manifest is accepted."""
        other_files = sorted(name for name in names - {_LOCK, _DRAFT} if not name.startswith("."))
        if _MANIFEST not in names and other_files:
            raise InputError(
                f"{self.path} is not a run directory: it has no {_MANIFEST}, but {_first_entries(other_files)}; use a "
                "new or an empty directory with --run"
            )

    def manifest(self) -> Mapping[str, Any] | None:
        """Read the manifest, which describes the study of the run.

        Returns:
            The content of the manifest; None when there is no run in this folder.

        Raises:
            InputError: A newer version of Orkester wrote the manifest, or it cannot be read.
        """
        path = self.path / _MANIFEST
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path}: this file cannot be read as the manifest of a run: {error}") from error
        schema = data.get("schema") if isinstance(data, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputError(
                f"{path}: a newer version of Orkester wrote this file (schema {schema}; this version reads schemas up "
                f"to {SCHEMA}); upgrade Orkester"
            )
        if not isinstance(data, dict) or not all(isinstance(data.get(key), kind) for key, kind in _KEYS.items()):
            raise InputError(f"{path}: this file is not the manifest of a run; use another directory with --run")
        return data

    def begin(self, study: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write the manifest, or check that the existing manifest belongs to the same study.

        Args:
            study: The identity of the study as plain data: everything in the study file except the budget.
            facts: Other entries of the manifest, at least ``name`` and ``sizes``. They are written once, at the start
                of the run.

        Raises:
            InputError: The directory belongs to another study. The message lists the differences.
        """
        manifest = self.manifest()
        study_data = json.loads(json.dumps(study))
        if manifest is None:
            self.write_manifest({"schema": SCHEMA, "study": study_data, **facts, "versions": versions()})
            return
        if manifest["study"] != study_data:
            if (changed := _changed_data(manifest["study"], study_data)) is not None:
                raise InputError(
                    f"{changed[0]} has changed since this run began ({self.path}), so its numbers and new ones cannot "
                    "be compared. Bring the data back to go on, or begin another run: --run DIR. SHA-256 in the run "
                    f"{changed[1]}, now {changed[2]}"
                )
            differences = _first_entries(list(_differences(manifest["study"], study_data)))
            raise InputError(
                f"{self.path} is the run of another study. Not the same: {differences}. "
                "Use another directory with --run, or remove this directory if you do not need it"
            )

    def forget_plan(self) -> None:
        """Remove the manifest and the database of a run in which nothing was measured, so that it may begin anew.

        A study whose engines did not start is often corrected and started again.
        """
        if self.blocks.exists() and self.blocks.stat().st_size:
            return
        (self.path / _MANIFEST).unlink(missing_ok=True)
        self.database.unlink(missing_ok=True)

    def settle(self, key: str, decide: Callable[[], Any]) -> Any:
        """Make a decision that stays the same when the run is resumed.

        Args:
            key: The key of the decision in the manifest.
            decide: Makes the decision, as plain data. It is called only when the manifest does not have the key; the
                result is then written to the manifest.

        Returns:
            The decision.
        """
        data = dict(self.manifest() or {})
        if key not in data:
            data[key] = decide()
            self.write_manifest(data)
        return data[key]

    def write_manifest(self, data: Mapping[str, Any]) -> None:
        """Replace the manifest in one step.

        Args:
            data: The new content, as plain data.
        """
        path = self.path / _MANIFEST
        draft = self.path / _DRAFT
        with draft.open("w", encoding="utf-8") as file:
            yaml.safe_dump(dict(data), file, sort_keys=False, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def _changed_data(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The data file and its two hashes, if its content is the only difference of two studies."""
    before, now = (dict(study.get("task", {})) for study in (old, new))
    hashes = str(before.pop("data_sha256", "")), str(now.pop("data_sha256", ""))
    if hashes[0] == hashes[1] or {**old, "task": before} != {**new, "task": now}:
        return None
    return str(now.get("data")), *hashes


def _differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """The keys in which two mappings differ, with their values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*new, *old]):
            yield from _differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif old != new:
        yield f"{key} (in the run {_short(old)}, in the study {_short(new)})"


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "…"


def _first_entries(entries: Sequence[str]) -> str:
    """The first few entries as text, and the number of the others."""
    more = len(entries) - _SHOWN
    return ", ".join(entries[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def versions() -> dict[str, str]:
    """The installed versions of the packages that can influence measured numbers, by package name."""
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
