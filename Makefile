# `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The newest Python on the path that the lock file covers; `make PYTHON=/path/to/python up` names another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	command -v $$name >/dev/null && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done || echo python3)
HAS_PYTHON = command -v $(PYTHON) >/dev/null || { echo "foreact: no Python found; install Python 3.11 or newer" >&2; exit 1; }
BIN := .venv/bin
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
BENCHMARKS := worlds forecast control impact learning patterns planning cycle api stack
# Many tests wait for processes of their own: three workers keep two cores busy.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help up install test proof test-fast check format lock clean $(BENCHMARKS:%=bench-%)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo "bench-*         run a benchmark: $(BENCHMARKS:%=bench-%)"

up: $(RUNTIME) ## install what is needed and run foreact here, until Ctrl-C
	@$(BIN)/foreact up

install: $(RUNTIME) ## install what foreact needs, into .venv

test: $(DEV) ## run every test, a file a worker, those that start real processes first
	@$(PYTEST) -m "not proof"

proof: $(DEV) ## load this machine for real and watch the loop; it must be idle otherwise
	@$(BIN)/python -m pytest -m proof -rs

test-fast: $(DEV) ## run the tests that take seconds
	@$(PYTEST) -m "not slow and not e2e"

check: $(DEV) ## run the linters: ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV) ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## resolve pyproject.toml anew and write both lock files; needs uv
	@command -v uv >/dev/null || { echo "foreact: make lock needs uv: pip install uv" >&2; exit 1; }
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --upgrade -o requirements.lock
	uv pip compile pyproject.toml --group build --group dev -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --upgrade -o requirements-dev.lock

$(BENCHMARKS:%=bench-%): bench-%: $(DEV)
	@$(BIN)/python -m benchmarks.$* $(ARGS)

clean: ## remove what was built and cached; .venv and the data in .foreact stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(RUNTIME): requirements.lock pyproject.toml .ci/install.py
	@$(HAS_PYTHON)
	@$(PYTHON) .ci/install.py runtime
	@touch $@

$(DEV): requirements-dev.lock pyproject.toml .ci/install.py
	@$(HAS_PYTHON)
	@$(PYTHON) .ci/install.py dev
	@touch $(RUNTIME) $@
