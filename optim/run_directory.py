"""A run directory: one study's records, held by one process at a time."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import yaml

from orkester.errors import InputError

SCHEMA = 1
_MANIFEST = "study.yaml"
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
            self._lock = (self.path / "lock").open("a+", encoding="utf-8")
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
        if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
            raise InputError(f"{path}: this is not the manifest of a run; give --run another directory")
        if data["schema"] > SCHEMA:
            raise InputError(
                f"{path}: written by a newer Orkester (schema {data['schema']}, this one reads up to {SCHEMA}); upgrade"
            )
        return data

    def begin(self, study: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write the manifest, or check that the one there is of the same study.

        Args:
            study: what identifies it: everything that was asked except the budget, plain data.
            facts: what else belongs in it; written once, when the run begins.

        Raises:
            InputError: the directory holds another study; the message says what differs.
        """
        there = self.manifest()
        asked = json.loads(json.dumps(study))
        if there is None:
            if self.blocks.exists():
                raise InputError(f"{self.path} has blocks but no {_MANIFEST}; give --run another directory")
            self.write_manifest({"schema": SCHEMA, "study": asked, **facts, "versions": versions()})
            return
        if there["study"] != asked:
            differing = sorted(key for key in {*there["study"], *asked} if there["study"].get(key) != asked.get(key))
            raise InputError(
                f"{self.path} is the run of another study: {', '.join(differing)} "
                f"{'differs' if len(differing) == 1 else 'differ'} from its {_MANIFEST}. Give --run another directory, "
                "or remove this one if it is not needed"
            )

    def write_manifest(self, data: Mapping[str, Any]) -> None:
        """Replace the manifest in one step."""
        path = self.path / _MANIFEST
        draft = path.with_suffix(".tmp")
        with draft.open("w", encoding="utf-8") as file:
            yaml.safe_dump(dict(data), file, sort_keys=False, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def versions() -> dict[str, str]:
    """Versions of the packages that matter to a number."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
