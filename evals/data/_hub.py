"""Data sets on Hugging Face's hub, as the Parquet files that the hub makes of every data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orkester.errors import InputError

#: How the name of a data set on the hub begins in a study file.
HUB: Final = "hf:"
_FORM: Final = re.compile(
    r"hf:(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(?::(?P<first>[\w.-]+))?(?::(?P<second>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?"
)
#: The branch on which the hub keeps Parquet files, as CONFIGURATION/SPLIT/0000.parquet.
_PARQUET: Final = "refs/convert/parquet"
_DETAIL: Final = 300


@dataclass(frozen=True, kw_only=True)
class HubFiles:
    """A split of a data set, fetched.

    Attributes:
        paths: The Parquet files, in order.
        revision: The commit of the branch with Parquet files.
        pinned: How a study file names this split of this revision.
    """

    paths: Sequence[Path]
    revision: str
    pinned: str


def hub_files(data: str) -> HubFiles:
    """Fetch a split of a data set, or take it from the hub's cache on this machine if there is no network.

    Args:
        data: ``hf:OWNER/NAME``, with ``:SPLIT`` or ``:CONFIGURATION:SPLIT`` and ``@REVISION`` behind it.

    Raises:
        InputError: The name has another form, the data set or the split does not exist, it cannot be fetched, or
            huggingface_hub is not installed.
    """
    form = _FORM.fullmatch(data)
    if form is None:
        raise InputError(
            "a data set on the hub is written hf:OWNER/NAME, hf:OWNER/NAME:SPLIT or hf:OWNER/NAME:CONFIGURATION:SPLIT, "
            f"with @REVISION behind it to keep a revision, but got {data!r}"
        )
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(
            f"{data} needs the huggingface_hub package; install it with: pip install 'orkester[data]'"
        ) from error
    repository, revision = f"{form['owner']}/{form['name']}", form["revision"] or _PARQUET
    configuration, split = (form["first"], form["second"]) if form["second"] else ("", form["first"] or "")

    def fetched(patterns: Sequence[str]) -> Path:
        """The folder of the snapshot; without a network the one of the last time."""
        try:
            return Path(
                huggingface_hub.snapshot_download(
                    repository, repo_type="dataset", revision=revision, allow_patterns=list(patterns)
                )
            )
        except Exception as error:  # the hub's library raises its own errors, httpx's and OSError
            message = " ".join(str(error).split())[:_DETAIL].rstrip(".") or type(error).__name__
            raise InputError(
                f"{data} could not be fetched: {message}. Is there a network connection, and is HF_TOKEN needed?"
            ) from error

    try:
        listed = huggingface_hub.list_repo_files(repository, repo_type="dataset", revision=revision)
    except Exception:
        # The hub's library raises its own errors, httpx's and OSError. Without a network, the cache is used; any other
        # fault comes again when the files are fetched, with its message.
        folder = fetched([f"{configuration or '*'}/{split or '*'}/*.parquet"])
        listed = [path.relative_to(folder).as_posix() for path in folder.glob("*/*/*.parquet")]
    splits = sorted(
        {tuple(file.split("/")[:2]) for file in listed if re.fullmatch(r"[^/]+/[^/]+/[^/]+\.parquet", file)}
    )
    fitting = [each for each in splits if configuration in {"", each[0]} and split in {"", each[1]}]
    if len(fitting) != 1:
        several = ", ".join(":".join(each) for each in (fitting or splits)[:8]) or "none"
        why = "has several parts; name one of them" if fitting else "has no such part; it has"
        raise InputError(f"{data} {why}: {several}")
    part = "/".join(fitting[0])
    folder = fetched([f"{part}/*.parquet"])
    commit = folder.name  # the hub's cache names snapshots after their commits
    return HubFiles(
        paths=sorted((folder / part).glob("*.parquet")),
        revision=commit[:12],
        pinned=f"hf:{repository}:{':'.join(fitting[0])}@{commit}",
    )
