# Every target does its own set-up: an environment in .venv, made once and again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
TABLES ?= ../shared/data
# Recorded runs of others, read in place by tests and benchmarks; where they are absent those tests are skipped and say so.
export MIXDESK_TABLES := $(abspath $(TABLES))

BIN := .venv/bin
# One thread per process: two test processes share the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -rs --durations 5

.PHONY: setup demo test check test-all verify bench docs fmt
.DEFAULT_GOAL := setup

setup: .venv/dev.stamp

demo: .venv/all.stamp
	$(BIN)/mixdesk demo -o demo

test: .venv/dev.stamp
	$(PYTEST) -m "not slow and not bench"

test-all: .venv/dev.stamp
	$(PYTEST) -m "not bench"

check: .venv/dev.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_house.py

# What is exported, by the trainers' own parsers and samplers (docs/exports.md says which).
verify: .venv/verify.stamp
	$(PYTEST) -m "not bench" tests/export tests/contracts/test_exporters.py tests/api/test_exports.py tests/corpus/formats

fmt: .venv/dev.stamp
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: .venv/bench.stamp
	$(BIN)/python benchmarks/throughput.py

docs: .venv/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# .venv/<extra>.stamp: the package and one of its extras (all, dev, bench) are installed.
.venv/%.stamp: .venv/made pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@

.venv/verify.stamp: .venv/dev.stamp verify.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-deps -r verify.txt
	@touch $@

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo 'mixdesk needs Python 3.11 or newer: install one and run `make PYTHON=/path/to/python3.11`.'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'This Python cannot make environments: install its venv module (Debian and Ubuntu: `apt-get install python3-venv`).'; exit 1; }
	@$(PYTHON) -m venv .venv && touch $@
