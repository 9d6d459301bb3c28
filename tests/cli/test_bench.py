"""``orkester bench energy`` and ``orkester calibrate``, as a user meets them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import ROOT, write_study

from orkester.cli import main
from orkester.serving.energy.calibration import load

PROMPTS = ROOT / "examples" / "arithmetic.jsonl"
QUICK = ["--prompts", PROMPTS, "--context-tokens", 256, "--max-tokens", 8, "--threads", 1, "--scorer", "numeric"]


def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["orkester", *map(str, arguments)])
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert isinstance(code, int)
    return code, out, err


@pytest.mark.parametrize("command", ["bench", "bench energy", "calibrate"])
def test_help_has_an_example_that_is_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = cli(capsys, monkeypatch, *command.split(), "--help")
    assert code == 0
    (example,) = re.findall(r"Example: (orkester .*)", out)
    assert example.startswith(f"orkester {command}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "energy"], "Missing option '--model'"),
        (["bench", "energy", "--model", "arithmetic-80"], "did you mean 'arithmetic-80k'?"),
        (
            ["bench", "energy", "--model", "arithmetic-80k", "--engine", "fake"],
            "--engine must be one of auto, llamacpp",
        ),
        (["bench", "energy", "--model", "arithmetic-80k", "--batch", "0"], "batch must be at least 1, but got 0"),
        (["bench", "energy", "--model", "arithmetic-80k", "--prompts", "absent"], "absent: the file cannot be read"),
        (["bench", "energy", "--model", "arithmetic-80k", "--scorer", "exac"], "unknown scorer 'exac'"),
        (["bench", "energy", "--model", "m", "--prompts", "a", "--images", "b"], "cannot be used together"),
        (["calibrate", "arithmetic-80"], "did you mean 'arithmetic-80k'?"),
        (["calibrate", "arithmetic-80k", "--engine", "vlm"], "--engine must be one of auto"),
        (["calibrate", "arithmetic-80k", "--slots", "0"], "--slots must be at least 1, but got 0"),
        (["calibrate", "arithmetic-80k", "--slots", "1"], "an engine with one slot cannot be calibrated"),
        (["calibrate", "arithmetic-80k", "--context-tokens", "64"], "is too small for the long prompts"),
        (["calibrate", "m", "--study", "s.yaml", "--slots", "2"], "the study file sets the engine and its options"),
    ],
)
def test_what_is_asked_wrongly_ends_with_2_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, out, err = cli(capsys, monkeypatch, *arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert list((tmp_path / "here").iterdir()) == []


def test_a_benchmark_prints_a_table_and_writes_its_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = ROOT / "examples" / "models" / "arithmetic-80k" / "arithmetic-80k.gguf"
    asked = ["--model", weights, "--batch", 1, "--batch", 2, "--seconds", 0.3, "--repeat", 2]
    code, out, err = cli(capsys, monkeypatch, "bench", "energy", *asked, *QUICK)
    assert code == 0, err
    head, one, two, *rest = out.splitlines()
    for column in ("J per request", "J per output token", "J per success", "output tokens/s", "W mean", "W idle"):
        assert column in head
    assert re.match(r"arithmetic-80k\.gguf +llamacpp +1 +0\.\d+ \[0\.\d+, 0\.\d+\] ", one)
    assert two.split()[:3] == ["arithmetic-80k.gguf", "llamacpp", "2"]
    assert one.split()[-1] == two.split()[-1] == "estimate"
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("bench-energy-")
    assert {path.name for path in folder.iterdir()} == {"results.csv", "results.json", "report.html", "logs"}
    assert f"results.csv: {Path('runs') / folder.name / 'results.csv'}" in rest
    lines = err.splitlines()
    assert lines[0].startswith("[   0.0 s] 4 windows, at least 5 s without the start of the engines")
    assert sum("J per output token (estimate)" in line for line in lines) == 4


def test_ctrl_c_keeps_finished_windows_and_ends_the_engine(tmp_path: Path) -> None:
    asked = ["--model", "arithmetic-80k", "--batch", 1, "--seconds", 0.2, "--repeat", 500, "--out", tmp_path / "out"]
    command = [sys.executable, "-c", "from orkester.cli import main; main()", "bench", "energy"]
    process = subprocess.Popen(
        [*command, *map(str, [*asked, *QUICK])], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    results, until = tmp_path / "out" / "results.json", time.monotonic() + 60
    while not (results.exists() and json.loads(results.read_text())["windows"]):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"finished windows are in {tmp_path / 'out'}" in err
    assert json.loads(results.read_text())["windows"]
    assert "the benchmark was stopped before the last window" in (tmp_path / "out" / "report.html").read_text()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(int(child), 0)


def test_a_calibration_says_what_it_found_and_is_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = ROOT / "examples" / "arithmetic.yaml"
    code, out, err = cli(capsys, monkeypatch, "calibrate", "arithmetic-80k", "--study", study)
    assert code == 0, err
    assert (
        "6 windows with 1, 8 requests at the same time, at least 6 s without the engine's start, measured by estimate"
        in err
    )
    said = dict(re.findall(r"(.+?): +(.*)", out))
    for name in ("step", "prompt token", "output token", "context token"):
        assert re.match(r"\S+ J\b", said[name])
    assert re.match(r"\d+\.\d%, median of .* over 6 windows", said["residual"])
    path = Path(said["saved"])
    found = load(path.stem, path.parent)
    assert found is not None
    assert (found.model, found.method, found.device) == ("arithmetic-80k", "estimate", said["device"])
    assert found.coefficients.step_j + found.coefficients.output_token_j > 0


def test_an_engine_that_runs_elsewhere_has_nothing_to_calibrate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, _, err = cli(capsys, monkeypatch, "calibrate", "small", "--study", write_study(tmp_path))
    assert code == 2
    assert "an engine that is fake has no device here" in err


def test_a_model_with_a_short_context_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = cli(capsys, monkeypatch, "calibrate", "arithmetic-80k", "--threads", 1)
    assert code == 1
    assert "set a lower number with --context-tokens" in err
