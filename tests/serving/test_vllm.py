"""What can be said of the vLLM engine without a vLLM; tests/vllm has the real one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from support import ROOT

from orkester.errors import EngineError
from orkester.serving.catalogue import Model
from orkester.serving.engines import Accelerator, EngineOptions, VllmEngine
from orkester.serving.engines._model_config import read_model_config
from orkester.serving.engines._stale import Record, RunningEngines, find_process, processes_of_group
from orkester.serving.engines.vllm import failure_reason
from orkester.serving.environments import VllmEnvironment
from orkester.testing.engine_contract import running, until

GIB = 2**30
MODELS = ROOT / "examples" / "models"
MODEL = Model(name="small", source="none")

#: A vLLM that is none: keeps the command line's rules, serves /health and one-token answers, and is told what to do by
#: the model's folder.
PRETENDER = """
import http.server, json, os, sys, time
arguments = sys.argv[1:]
wish = arguments[arguments.index("--model") + 1] + "/wish"
wish = open(wish).read() if os.path.exists(wish) else ""
if wish == "older" and "--enable-per-request-metrics" in arguments:
    print("usage: api_server.py", file=sys.stderr)
    print("api_server.py: error: unrecognized arguments: --enable-per-request-metrics", file=sys.stderr)
    sys.exit(2)
if wish.startswith("port taken"):
    once = arguments[arguments.index("--model") + 1] + "/once"
    if not os.path.exists(once):
        open(once, "w").close()
        print("OSError: [Errno 98] Address already in use", file=sys.stderr)
        sys.exit(1)
if wish == "crash":
    print("(EngineCore pid=7) ERROR 11-25 00:17:51 [core.py:1] torch.OutOfMemoryError: CUDA out of memory.",
          file=sys.stderr)
    print("RuntimeError: Engine core initialization failed.", file=sys.stderr)
    sys.exit(1)
if os.fork() == 0:
    while True:
        time.sleep(60)  # a worker

class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, body):
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.reply({"arguments": arguments, "variables": dict(os.environ)})
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.reply({"choices": [{"message": {"role": "assistant", "content": "x"}}]})
    def log_message(self, *_):
        pass

port = int(arguments[arguments.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def pretender(tmp_path_factory: pytest.TempPathFactory) -> VllmEnvironment:
    """An environment whose Python finds the pretender under vLLM's name."""
    folder = tmp_path_factory.mktemp("pretender")
    package = folder / "packages" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for part in (package, package.parent, package.parent.parent):
        (part / "__init__.py").touch()
    (package / "api_server.py").write_text(PRETENDER)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexport PYTHONPATH={folder / "packages"}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return VllmEnvironment(python=python, version="0.0", build="cpu")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_bytes((MODELS / "arithmetic-80k" / "config.json").read_bytes())
    return folder


@pytest.fixture
async def engine(pretender: VllmEnvironment, tmp_path: Path) -> Iterator[VllmEngine]:
    engine = VllmEngine(pretender, accelerator=None, running=tmp_path / "running")
    yield engine
    await engine.stop()


async def asked(engine: VllmEngine) -> dict[str, object]:
    return dict(json.loads(await engine._control("GET", "/health")))


async def test_it_starts_with_what_the_study_asks_for(engine: VllmEngine, weights: Path, tmp_path: Path) -> None:
    options = EngineOptions(
        slots=6, context_tokens=300, prefix_caching=False, max_num_active_seqs=2, kv_cache_dtype="fp8", threads=1
    )
    endpoint = await engine.start(MODEL, weights, options, tmp_path / "log")
    said = await asked(engine)
    line = " ".join(said["arguments"])  # type: ignore[arg-type]
    for part in (
        f"--model {weights}",
        "--served-model-name small",
        "--host 127.0.0.1",
        "--max-model-len 300",
        "--max-num-seqs 6",
        "--max-num-active-seqs 2",
        "--kv-cache-dtype fp8",
        "--no-enable-prefix-caching",
        "--enforce-eager",
        "--generation-config vllm",
        "--enable-per-request-metrics",
    ):
        assert part in line
    assert "--gpu-memory-utilization" not in line
    assert "--quantization" not in line
    variables = said["variables"]
    assert isinstance(variables, dict)
    assert variables["VLLM_CPU_OMP_THREADS_BIND"].isdigit()
    assert endpoint.facts["max_num_active_seqs"] == 2
    assert endpoint.facts["weights"] == "weights"


async def test_a_users_options_win(pretender: VllmEnvironment, weights: Path, tmp_path: Path) -> None:
    options = {"enforce-eager": False, "max-num-batched-tokens": 64, "load-format": "dummy"}
    engine = VllmEngine(pretender, accelerator=None, running=tmp_path / "running", options=options)
    try:
        endpoint = await engine.start(MODEL, weights, EngineOptions(), tmp_path / "log")
        line = " ".join((await asked(engine))["arguments"])  # type: ignore[arg-type]
        assert "--no-enforce-eager" in line
        assert "--enforce-eager" not in line.replace("--no-enforce-eager", "")
        assert "--max-num-batched-tokens 64" in line
        assert endpoint.facts["weights"] == "dummy"
        assert endpoint.facts["vllm_options"] == options
    finally:
        await engine.stop()


async def test_on_a_gpu_vllm_gets_the_share_of_memory_that_the_ledger_holds_for_it(
    pretender: VllmEnvironment, tmp_path: Path, weights: Path
) -> None:
    accelerator = Accelerator(memory_bytes=80 * GIB)
    environment = VllmEnvironment(python=pretender.python, version="0.0", build="cuda")
    engine = VllmEngine(environment, accelerator=accelerator, running=tmp_path / "running")
    try:
        endpoint = await engine.start(MODEL, weights, EngineOptions(), tmp_path / "log")
        words: list[str] = (await asked(engine))["arguments"]  # type: ignore[assignment]
        share = float(words[words.index("--gpu-memory-utilization") + 1])
        needed = engine.footprint(MODEL, weights, EngineOptions())
        assert needed.device_bytes <= share * accelerator.memory_bytes <= needed.device_bytes + GIB
        cache = int(words[words.index("--kv-cache-memory-bytes") + 1])
        assert cache == needed.parts["key-value cache"]
        assert "--enable-sleep-mode" in words
        assert "--enforce-eager" not in words
        assert needed.asleep_device_bytes is not None
        assert endpoint.takes_seed
    finally:
        await engine.stop()


async def test_flags_that_an_older_vllm_does_not_know_are_left_out(
    engine: VllmEngine, weights: Path, tmp_path: Path
) -> None:
    (weights / "wish").write_text("older")
    endpoint = await engine.start(MODEL, weights, EngineOptions(), tmp_path / "log")
    words = (await asked(engine))["arguments"]
    assert isinstance(words, list)
    assert "--enable-per-request-metrics" not in words
    assert "--enable-prompt-tokens-details" in words
    assert endpoint.facts["not_supported"] == ["--enable-per-request-metrics"]


async def test_a_port_that_was_taken_meanwhile_is_exchanged(engine: VllmEngine, weights: Path, tmp_path: Path) -> None:
    (weights / "wish").write_text("port taken")
    await engine.start(MODEL, weights, EngineOptions(), tmp_path / "log")
    assert "Address already in use" in (tmp_path / "log").read_text()
    assert engine.alive()


async def test_why_it_did_not_start_is_said_first(engine: VllmEngine, weights: Path, tmp_path: Path) -> None:
    (weights / "wish").write_text("crash")
    with pytest.raises(EngineError) as raised:
        await engine.start(MODEL, weights, EngineOptions(), tmp_path / "log")
    first = str(raised.value).splitlines()[0]
    assert "exit code 1" in first
    assert "OutOfMemoryError: CUDA out of memory" in first


async def test_no_process_is_left_after_stop(engine: VllmEngine, weights: Path, tmp_path: Path) -> None:
    endpoint = await engine.start(MODEL, weights, EngineOptions(), tmp_path / "log")
    assert len(endpoint.pids) == 3  # supervisor, server, worker
    await engine.stop()
    assert not any(running(pid) for pid in endpoint.pids)
    assert not list((tmp_path / "running").rglob("*.json"))


@pytest.mark.parametrize("victim", [0, 1])
async def test_what_is_left_of_it_goes_when_its_supervisor_or_its_server_is_killed(
    engine: VllmEngine, weights: Path, tmp_path: Path, victim: int
) -> None:
    endpoint = await engine.start(MODEL, weights, EngineOptions(), tmp_path / "log")
    os.kill(endpoint.pids[victim], signal.SIGKILL)
    await until(lambda: not engine.alive())
    await engine.stop()
    await until(lambda: not any(running(pid) for pid in endpoint.pids))
    assert not list((tmp_path / "running").rglob("*.json"))


# -- engines left behind ----------------------------------------------------------------------------------------------


def test_what_a_killed_study_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    left, other = (subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2))
    owner = subprocess.Popen(["sleep", "60"])
    try:
        engines = RunningEngines(tmp_path)
        engines.record(left.pid)
        assert engines.end_stale() == ()  # its owner, this process, lives
        record = next(tmp_path.rglob("*.json"))
        gone = find_process(owner.pid)
        assert gone is not None
        owner.kill()
        owner.wait()
        data = json.loads(record.read_text())
        record.write_text(json.dumps({**data, "owner": list(gone)}))
        # Another one that has got the recorded id meanwhile: not the same start, so not the same process.
        lookalike = find_process(other.pid)
        assert lookalike is not None
        data["engine"].append([lookalike.pid, lookalike.started + 1])
        record.write_text(json.dumps({**data, "owner": list(gone)}))
        assert engines.end_stale() == (left.pid,)
        assert left.wait() == -signal.SIGKILL
        assert other.poll() is None
        assert not list(tmp_path.rglob("*.json"))
    finally:
        for each in (left, other, owner):
            each.kill()
            each.wait()


def test_a_record_that_cannot_be_read_does_no_harm(tmp_path: Path) -> None:
    engines = RunningEngines(tmp_path)
    mine = find_process(os.getpid())
    assert mine is not None
    engines.record(os.getpgid(0))
    for number, text in enumerate(["", "[]", '{"engine": 3}', json.dumps(asdict(Record(engine=[], owner=mine)))]):
        next(tmp_path.iterdir()).joinpath(f"{number}.json").write_text(text)
    assert engines.end_stale() == ()
    assert mine in processes_of_group(os.getpgid(0))


# -- what a model needs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arithmetic-80k", "arithmetic-260k", "arithmetic-580k"])
def test_parameters_are_counted_from_the_configuration_as_the_weights_have_them(name: str) -> None:
    config = read_model_config(MODELS / name)
    assert config.files_bytes == (MODELS / name / "model.safetensors").stat().st_size
    assert config.parameters * config.weight_bytes == pytest.approx(config.files_bytes, rel=0.02)


def test_a_cache_grows_with_tokens_and_shrinks_with_its_type() -> None:
    config = read_model_config(MODELS / "arithmetic-80k")
    assert config.kv_bytes(1) == 2 * 2 * 2 * 32 * 2  # keys and values, layers, heads, size, bytes
    assert config.kv_bytes(10) == 10 * config.kv_bytes(1)
    assert config.kv_bytes(10, dtype="fp8") == config.kv_bytes(10) // 2
    assert config.kv_bytes(10, dtype="float32") == config.kv_bytes(10) * 2


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "has no config.json"), ("{", "sizes cannot be read"), ('{"hidden_size": 3}', "num_attention_heads")],
)
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(EngineError, match=said):
        read_model_config(tmp_path)


# -- reasons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("usage: …\napi_server.py: error: unrecognized arguments: --no 3\n", "unrecognized arguments: --no 3"),
        (
            (
                "(APIServer pid=1) Traceback:\n"
                "(APIServer pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig\n"
                "(APIServer pid=1)   Value error, heads (2) must be divisible. [type=value_error, input_value=…]\n"
            ),
            "heads (2) must be divisible.",
        ),
        (
            (
                "(EngineCore pid=2) ERROR 11-25 00:17:51 [core.py:1] ValueError: No available memory for the cache\n"
                "RuntimeError: Engine core initialization failed. See root cause above.\n"
            ),
            "ValueError: No available memory for the cache",
        ),
        ("INFO: all is well\n", ""),
    ],
)
def test_vllms_own_reason_is_found_in_its_log(log: str, reason: str) -> None:
    assert failure_reason(log) == reason
