"""What the GPU benchmarks do without a GPU and without vLLM. `benchmarks/gpu.sh --device cpu` rehearses the rest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from orkester.serving.machine import gpus

BENCHMARKS = ROOT / "benchmarks"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=BENCHMARKS)


@pytest.mark.skipif(bool(gpus()[0]), reason="there is a GPU")
def test_without_a_gpu_it_says_how_to_rehearse() -> None:
    done = python("gpu.py")
    assert done.returncode == 2
    assert "to test the script without a GPU, use --device cpu" in done.stderr


def test_a_part_that_there_is_not_is_refused() -> None:
    done = python("gpu.py", "--device", "cpu", "--parts", "sleep,utilisation")
    assert done.returncode == 2
    assert "unknown part 'sleep'; the parts are architectures, resident, utilisation, tests" in done.stderr


@pytest.mark.parametrize("ends", ["sys.exit(3)", "time.sleep(60)", "sys.exit(0)"])
def test_what_a_part_has_saved_is_kept_however_it_ends(tmp_path: Path, ends: str) -> None:
    """The parts run as processes of this script; here they are another one that saves, and then ends in some way."""
    part = tmp_path / "part.py"
    part.write_text(
        f"import json, sys, time\nfrom pathlib import Path\nout = Path(sys.argv[sys.argv.index('--out') + 1])\n"
        f"out.with_name(out.stem + '.resident.json').write_text(json.dumps({{'blocks': 7}}))\n{ends}\n"
    )
    code = f"""
import gpu
from pathlib import Path
from orkester.serving.environments import VllmEnvironment
gpu.__file__, gpu.GRACE_S, gpu.about = {str(part)!r}, 0.5, lambda settings: {{}}
settings = gpu.Settings(device="cpu", vllm=VllmEnvironment(python=Path("python"), version="0", build="cpu"))
raise SystemExit(gpu.run_all(settings, ["resident"], Path({str(tmp_path / "all.json")!r}), 0.06))
"""
    done = python("-c", code)
    found = json.loads((tmp_path / "all.json").read_text())
    (name,) = found["parts"]
    how = {"sys.exit(3)": "failed with exit code 3", "time.sleep(60)": "cut off after 3 s", "sys.exit(0)": "done"}[ends]
    assert (name, found["parts"][name]["how"], found["parts"][name]["blocks"]) == ("resident", how, 7), done.stderr
    assert found["dry"] is True
    assert (done.returncode == 0) == (how == "done")
    assert [path.name for path in tmp_path.glob("*.json")] == ["all.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--examples", "3"], "--examples takes twice the concurrency to 400"),
        (["--base-url", "http://127.0.0.1:9/v1"], "--base-url needs --python, where"),
    ],
)
def test_utilisation_refuses_what_cannot_be(arguments: list[str], said: str) -> None:
    done = python("utilisation.py", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
