#!/usr/bin/env bash
# Builds the wheel, looks into it, installs it in a clean environment outside the checkout, and runs the command line.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if command -v uv >/dev/null; then
    uv build -q --wheel --out-dir "$work/dist" "$checkout"
    uv venv -q --python "${PYTHON:-python3}" "$work/venv"
    install=(uv pip install -q --python "$work/venv/bin/python")
else
    "${PYTHON:-python3}" -m venv "$work/venv"
    "$work/venv/bin/python" -m pip wheel -q --no-deps --wheel-dir "$work/dist" "$checkout"
    install=("$work/venv/bin/python" -m pip install -q)
fi
rm -rf "$checkout/build"

wheel=$(ls "$work"/dist/*.whl)
listing=$("${PYTHON:-python3}" -m zipfile -l "$wheel")
for needed in orkester/py.typed orkester/cli/__init__.py orkester/agents/agent.py orkester/agents/roles/answer.yaml orkester/graphs/vote.py \
    orkester/testing/topology_contract.py orkester/optim/session/tuner.py orkester/evals/running/runner.py orkester/serving/catalogue/models.yaml orkester/telemetry/tracing.py; do
    grep -q "$needed" <<<"$listing" || { echo "the wheel lacks $needed"; exit 1; }
done
if grep -qE '(^| )(agents|graphs|optim|evals|serving|telemetry|bench|docs|site|tests)/' <<<"$listing"; then
    echo "the wheel has a folder at its top level that belongs under orkester/"; exit 1
fi

"${install[@]}" -c "$checkout/requirements.lock" "$wheel"
cd "$work"
venv/bin/orkester --version
venv/bin/orkester --help >/dev/null
venv/bin/orkester models list
venv/bin/orkester doctor
venv/bin/python -c "from orkester.graphs import vote; print(vote.graph.get_graph().draw_mermaid(with_styles=False))"

# A package with a plug-in of each kind, installed beside Orkester, used by a study, and held to the contracts.
cp -r "$checkout/tests/plugins" plugins
rm -rf plugins/src/*.egg-info plugins/build
"${install[@]}" -c "$checkout/requirements-dev.lock" ./plugins pytest pytest-asyncio hypothesis
venv/bin/orkester list
venv/bin/orkester tune plugins/study.yaml --run run
venv/bin/orkester front run
venv/bin/python -m pytest -q -p no:cacheprovider -c /dev/null --rootdir plugins --asyncio-mode=auto plugins/contracts.py
echo "the wheel is good"
