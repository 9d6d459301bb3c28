"""The how-to pages, as they stand: their files are written, their commands run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
KINDS = ("topology", "scorer", "engine", "meter", "sampler", "objective", "routing policy")
_FILE = re.compile(r'^```\w+ title="([\w.-]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAMS = {
    "orkester": (sys.executable, "-c", "from orkester.cli import main; main()"),
    "pytest": (sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir=.", "--asyncio-mode=auto"),
}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.stem == "add-a-sampler" else [])
        for page in PAGES
        if page.name != "extend.md"
    ],
    ids=lambda page: page.stem,
)
def test_a_page_works_as_it_stands(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files, commands = (
        _FILE.findall(text),
        [line.removeprefix("$ ") for block in _COMMANDS.findall(text) for line in block.splitlines()],
    )
    assert [name for name, _ in files if name.startswith("test_")], "the page does not show how to test the plug-in"
    assert [command for command in commands if command.startswith("orkester tune")], "the page runs no study"
    assert text.count("```") == 2 * (len(files) + len(_COMMANDS.findall(text))), "a block of code is not run"
    for name, content in files:
        (tmp_path / name).write_text(content)
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "arithmetic.jsonl", tmp_path / "examples")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path]), "PYTEST_PLUGINS": ""}
    for command in commands:
        program, *arguments = shlex.split(command)
        done = subprocess.run(
            [*_PROGRAMS[program], *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_overview_has_no_code_that_no_test_runs() -> None:
    blocks = re.findall(
        r"^```(\w*)", (ROOT / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert not {"python", "yaml", "console", "bash"} & {*blocks}


def test_every_kind_of_plugin_has_a_page_and_a_line_in_the_table() -> None:
    overview = (ROOT / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")
    titles = {page.read_text(encoding="utf-8").partition("\n")[0] for page in PAGES}
    for kind in KINDS:
        assert [title for title in titles if kind in title], f"no page for {kind}"
        assert f"| {kind} |" in overview
    for page in PAGES:
        assert page.name == "extend.md" or f"({page.name})" in overview
