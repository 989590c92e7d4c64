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
DOCS := .venv/.docs-installed
BENCHMARKS := worlds composed late depth agents causes forecast control impact power learning patterns planning shares whatif review bandits deadlines levers writes backfill csv cycle api stack size endurance
MODULE_depth := worlds.depth
MODULE_shares := shared_goals.trees
MODULE_levers := deadline_levers
MODULE_power := acts_foretold.power
MODULE_whatif := acts_foretold.twin
MODULE_bandits := reviews.bandits
MODULE_review := reviews.change_reviews
MODULE_writes := incoming.remote_writes
MODULE_backfill := incoming.prometheus_backfill
MODULE_csv := incoming.csv_rows
# Many tests wait for processes of their own: three workers keep two cores busy.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help up install install-all wheel test thorough proof guides requests test-fast check docs chaos trust two-machines audit-dependencies format lock sbom clean $(BENCHMARKS:%=bench-%)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo "bench-*         run a benchmark: $(BENCHMARKS:%=bench-%)"

up: $(RUNTIME) ## install what is needed and run foreact here, until Ctrl-C
	@$(BIN)/foreact up

install: $(RUNTIME) ## install what foreact needs, into .venv

install-all: $(DEV) $(DOCS) ## and what tests, linters and the documentation need

wheel: $(RUNTIME) ## build dist/foreact-VERSION-py3-none-any.whl, which pip installs anywhere
	@$(BIN)/python -m hatchling build -t wheel

test: $(DEV) ## run every test, a file a worker, those that start real processes first
	@$(PYTEST) -m "not proof and not guides"

proof: $(DEV) ## load this machine for real and watch the loop; it must be idle otherwise
	@$(BIN)/python -m pytest -m proof -rs

thorough: $(DEV) ## run every test at its full size: more chances, kills and proposals; about an hour
	@FOREACT_TEST_THOROUGH=1 $(PYTEST) -m "not proof and not guides"

guides: $(DEV) ## follow the guides as a newcomer would, on real stacks, and count the minutes; takes a quarter of an hour
	@$(BIN)/python -m pytest -m guides -rs -s

requests: $(DEV) ## send 10,000 requests of all kinds to the REST interface; takes a few minutes
	@FOREACT_TEST_REQUESTS=$(or $(CASES),10000) $(BIN)/python -m pytest tests/api/test_any_request.py \
		-n 2 --dist worksteal --timeout 700

test-fast: $(DEV) ## run the tests that take seconds
	@$(PYTEST) -m "not slow and not e2e"

check: $(DEV) ## run the linters: ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(DOCS) ## build the documentation into build/site; a broken link, anchor or page out of the list fails
	@NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet
	@echo "foreact: build/site/index.html; with search: $(PYTHON) -m http.server -d build/site"

chaos: $(DEV) ## kill, damage and fill up what runs, and count what was lost: ARGS="--rounds 10" is short
	@$(BIN)/python -m benchmarks.chaos $(ARGS)

trust: $(DEV) ## one report of what is known of safety: faults, security, audit trail, size, and what was not tried
	@$(BIN)/python -m benchmarks.trust $(ARGS)

two-machines: $(DEV) ## run store and worker on two machines, TLS between, Prefect on PostgreSQL; needs root
	@$(BIN)/python -m benchmarks.two_machines

audit-dependencies: $(DEV) ## compare the locked packages with the published advisories, by pip-audit
	@$(BIN)/python -m benchmarks.trust --only dependencies

format: $(DEV) ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## resolve pyproject.toml anew and write the lock files; needs uv
	@command -v uv >/dev/null || { echo "foreact: make lock needs uv: pip install uv" >&2; exit 1; }
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --upgrade -o requirements.lock
	uv pip compile pyproject.toml --group build --group dev -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --upgrade -o requirements-dev.lock
	uv pip compile --group docs -c requirements-dev.lock --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --upgrade -o requirements-docs.lock

$(BENCHMARKS:%=bench-%): bench-%: $(DEV)
	@$(BIN)/python -m benchmarks.$(or $(MODULE_$*),$*) $(ARGS)

sbom: ## write dist/sbom.cdx.json, all packages of requirements.lock with their hashes
	@$(HAS_PYTHON)
	@$(PYTHON) .ci/sbom.py dist/sbom.cdx.json
	@echo "foreact: dist/sbom.cdx.json"

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

$(DOCS): requirements-docs.lock .ci/install.py | $(DEV)
	@$(PYTHON) .ci/install.py docs
	@touch $@
