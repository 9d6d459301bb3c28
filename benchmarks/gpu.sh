#!/usr/bin/env bash
# Everything that needs a GPU, in one go and in under 8 minutes on an H100 or H200; the results are one JSON file.
#
#   bash benchmarks/gpu.sh                                      vLLM as `orkester engines install vllm` left it
#   PYTHONPATH=~/site PYTHON=python3 bash benchmarks/gpu.sh --python "$(which python3)"     vLLM beside everything else
#   bash benchmarks/gpu.sh --device cpu                         a rehearsal without a GPU
#   bash benchmarks/gpu.sh energy                               joules instead, in 18 minutes: benchmarks/energy_gpu.py
#
# PYTHON runs Orkester (.venv/bin/python if not given); --python is the one with vLLM. More: --help. Where flashinfer is
# not installed: VLLM_USE_FLASHINFER_SAMPLER=0.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}"
script=gpu.py
if [ "${1:-}" = energy ]; then
    script=energy_gpu.py
    shift
fi
"$python" - "$script" <<'P'
import importlib, sys

absent = []
for name in ("aiohttp", "asyncio_throttle", "jinja2", "langgraph", "moocore", "numpy", "openai", "optuna", "pydantic",
             "rich", "scipy", "typer", "yaml", "opentelemetry.sdk", "opentelemetry.exporter.otlp.json.file",
             *(["pynvml"] if sys.argv[1] == "energy_gpu.py" else [])):
    try:
        importlib.import_module(name)
    except ImportError:
        absent.append(name)
if absent:
    sys.exit(f"Orkester needs packages that {sys.executable} does not have: {', '.join(absent)}")
P
exec "$python" "benchmarks/$script" "$@"
