"""Appends blocks until the disk is full, makes room, and goes on; run as a script by ``test_records.py``.

Arguments: a folder, and ``limit`` for a limit of this process on the size of files, or ``tmpfs`` for a folder that is
a small file system of its own, which a file of ballast fills up.
"""

import json
import resource
import sys
from pathlib import Path

from orkester.errors import OrkesterError
from orkester.evals.records.log import BlockLog, read_records
from orkester.testing.blocks import block

LIMIT = 20_000


def main(folder: Path, how: str) -> None:
    path, ballast = folder / "blocks.jsonl", folder / "ballast"
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    else:
        ballast.write_bytes(bytes(40_000))
    messages: list[str] = []
    with BlockLog(path) as log:
        written = 0
        while len(messages) < 3 and written < 1000:
            try:
                log.append(block(index=written, examples=8))
                written += 1
            except OrkesterError as error:
                messages.append(str(error))
        known = len(log.records().blocks)
        whole = path.read_bytes().endswith(b"\n")
        on_disk = len(read_records(path).blocks)
        if how == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            ballast.unlink()
        log.append(block(index=written, examples=8))
    indices = [record.index for record in read_records(path).blocks]
    print(
        json.dumps(
            {
                "messages": messages,
                "written": written,
                "known": known,
                "on_disk": on_disk,
                "whole": whole,
                "indices": indices,
            }
        )
    )


main(Path(sys.argv[1]), sys.argv[2])
