"""The tutorial, as it stands, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support import ROOT

_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_of_the_tutorial_runs(tmp_path: Path) -> None:
    blocks = _BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text())
    assert len(blocks) >= 8
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
    said = []
    for language, code in blocks:
        command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)
    assert any("confirmed" in text for text in said)
    assert re.search(r"^What is 12 \+ 34\? \S+$", "".join(said), re.MULTILINE)
    assert (tmp_path / "runs" / "sums" / "report.html").is_file()
