# make quickstart   from a fresh checkout to a confirmed front on real models
# make test         everything that can be tested without vLLM, but the slow tests
# make test-slow    the slow ones: studies that are killed again and again, benchmarks, contracts of packages
# make bench-search how many model calls a search needs, ours and others', on recorded tables
# make docs         the pages of docs/ and the reference as a site, in site/; open site/index.html
# make test-vllm    the same study machinery on a real vLLM, installed into the user's cache first (4 GB)
SHELL := /bin/bash
.DELETE_ON_ERROR:

PYTHON ?= python3
MODELS ?= smollm2-135m gemma3-270m
STUDY ?= $(if $(filter gemma3-270m,$(MODELS)),examples/quickstart.yaml,examples/quickstart-smollm2.yaml)
UV := $(shell command -v uv 2>/dev/null)

# uv when it is there, pip when not; exact versions from the lock either way. What is installed last wins, so each
# stamp stands for the whole content of .venv.
ifdef UV
venv = $(UV) venv -q --allow-existing --python $(PYTHON) .venv
install = $(UV) pip install -q --python .venv/bin/python
venv_docs = $(UV) venv -q --allow-existing --python $(PYTHON) .venv-docs
install_docs = $(UV) pip install -q --python .venv-docs/bin/python
else
venv = $(PYTHON) -m venv .venv
install = .venv/bin/python -m pip install -q --disable-pip-version-check
venv_docs = $(PYTHON) -m venv .venv-docs
install_docs = .venv-docs/bin/python -m pip install -q --disable-pip-version-check
endif

.PHONY: quickstart test test-slow test-docs test-vllm bench-search docs check lint types wheel lock clean

quickstart: .venv/.installed
	@echo "Weights: $(MODELS). To do without the Gemma terms: MODELS=smollm2-135m make quickstart"
	.venv/bin/orkester models pull --accept-terms $(MODELS)
	.venv/bin/orkester tune $(STUDY)

# A file's tests stay in one process: they share what the file has set up.
test: .venv/.installed-dev
	.venv/bin/pytest -n auto --maxprocesses 8 --dist loadfile

test-slow: .venv/.installed-dev
	.venv/bin/pytest -n auto --maxprocesses 8 --dist load -m slow

# On two cores: a few minutes to install, once; then under ten.
test-vllm: .venv/.installed-dev
	.venv/bin/orkester engines install vllm
	.venv/bin/orkester models pull smollm2-135m
	.venv/bin/pytest -m vllm tests/vllm

# Our search and others', replayed on the recorded tables and a generated one.
bench-search: .venv/.installed-dev
	for table in arithmetic capitals generated; do .venv/bin/python -m benchmarks.search.run --table $$table || exit 1; done

# An environment of its own: tests need none of it. Links and anchors are checked; a broken one is an error.
docs: .venv-docs/.installed
	$(PYTHON) docs/draw.py
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict  # with --quiet, --strict finds nothing
	@echo "The site is in site/: open site/index.html"

# What a browser would load from the built site, its links, and what the reference shows.
test-docs: docs .venv/.installed-dev
	.venv/bin/pytest -m site tests/docs

check: lint types

lint: .venv/.installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports

types: .venv/.installed-dev
	.venv/bin/mypy

wheel: .venv/.installed-dev
	PYTHON=$(PYTHON) bash tests/wheel.sh

.venv/.installed: pyproject.toml requirements.lock
	$(venv)
	$(install) -r requirements.lock
	$(install) --no-deps -e .
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	$(install) -r requirements-dev.lock
	@touch $@

.venv-docs/.installed: requirements-docs.lock
	$(venv_docs)
	$(install_docs) -r requirements-docs.lock
	@touch $@

# Exact versions for every supported Python, from the ranges in pyproject.toml. Needs uv.
lock:
	uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links --group docs -o requirements-docs.lock

clean:
	rm -rf .venv .venv-docs site build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
