# Needs Python 3.11 or later, make and a C compiler; everything else comes from package registries, pinned by hash.
# pip and uv are used as this machine configures them. Paths are relative, so the folder's own path may hold spaces.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
UV := $(BIN)/uv
# uv's own scratch files stay in .venv too.
UV_INSTALL := mkdir -p $(VENV)/tmp && TMPDIR="$(CURDIR)/$(VENV)/tmp" $(UV) pip install --python $(BIN)/python
LOCK := $(UV) pip compile --universal --no-header --generate-hashes --python-version 3.11 --quiet \
	--constraints lock-constraints.txt $(UPGRADE)

# Some machines keep no bytecode: each of the many processes of the tests would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help setup up test test-kafka check bench chaos mutants audit lock clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.dev ## Install everything for development into .venv (PYTHON=... chooses the interpreter)

up: $(VENV)/.examples ## Start Tidemill with the flights example; Ctrl-C drains and stops it (ARGS=... for options)
	@exec $(BIN)/tidemill up --config examples/flights/tidemill.toml --feed examples.flights.feed:feed $(ARGS)

# The tests that mostly wait, for brokers, kills, restarts and processes, run beside the others: two processes for each.
SLOW := tests/broker tests/fault
APART := tests/contract tests/browser
QUIET := -p no:cacheprovider

test: $(VENV)/.dev ## Run all tests (ARGS=... chooses some)
ifdef ARGS
	@$(BIN)/pytest $(ARGS)
else
	@$(BIN)/pytest $(QUIET) -n 2 --dist loadfile $(SLOW) >$(VENV)/slow-tests.log 2>&1 & slow=$$!; \
	$(BIN)/pytest $(QUIET) $(APART) >$(VENV)/apart-tests.log 2>&1 & apart=$$!; \
	$(BIN)/pytest $(QUIET) -n 2 $(SLOW:%=--ignore=%) $(APART:%=--ignore=%); status=$$?; \
	echo "waiting for $(APART)"; wait $$apart; status=$$((status | $$?)); cat $(VENV)/apart-tests.log; \
	echo "waiting for $(SLOW)"; wait $$slow; status=$$((status | $$?)); cat $(VENV)/slow-tests.log; exit $$status
endif

# One process and so one broker at a time: a JVM beside three others is slow.
test-kafka: $(VENV)/.dev ## Run the tests of brokers on Apache Kafka, fetched with mvn or from KAFKA_HOME (needs Java 17)
	@$(BIN)/pytest $(QUIET) --kafka=apache $(or $(ARGS),tests/broker tests/kafka)

check: $(VENV)/.dev ## Check style, format, types and the three floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit/test_house.py tests/unit/test_outer_files.py

bench: $(VENV)/.dev ## Measure everything beside its limit, or one thing with ARGS=runs (figures: .venv/bench)
	@$(BIN)/python -m benchmarks $(or $(ARGS),all)

chaos: $(VENV)/.dev ## Kill everything at random under load and say what came of it (MINUTES=10, SEED=...)
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(SEED),--seed "$(SEED)")

mutants: $(VENV)/.dev ## Break the build in each way that matters and see that the tests notice (ARGS=... chooses by words)
	@$(BIN)/python -m tests.mutants $(ARGS)

# --strict: what the advisories do not know is a failure, and not a clean bill. Needs the index itself: mirrors that serve
# packages only have no advisories. Not a part of `make test`, which says the same tomorrow as today.
audit: $(VENV)/.audit ## Look up every pinned package in PyPI's advisories (ARGS="--vulnerability-service osv": in OSV's)
	@for file in requirements.lock requirements-examples.lock requirements-bootstrap.lock; do echo "$$file"; \
	  $(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off $(ARGS) -r "$$file" || exit; \
	done

lock: $(VENV)/.bootstrap ## Write the lock files anew from pyproject.toml (UPGRADE=--upgrade takes newer versions)
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) pyproject.toml --extra examples -c requirements.lock -o requirements-examples.lock
	$(LOCK) pyproject.toml --extra dev -c requirements-examples.lock -o requirements-dev.lock
	for file in benchmarks/*/*.in; do $(LOCK) "$$file" -o "$${file%.in}.lock" || exit; done
	printf 'uv\nhatchling\neditables\n' > bootstrap.in
	$(LOCK) bootstrap.in -o requirements-bootstrap.lock; status=$$?; rm -f bootstrap.in; exit $$status
	printf 'pip-audit\n' > audit.in
	$(LOCK) audit.in -o requirements-audit.lock; status=$$?; rm -f audit.in; exit $$status

clean: ## Remove .venv and caches; the data in .tidemill stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp in .venv is newer than what it was made from, or its recipe runs again.

$(BIN)/python:
	@for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3.14 python3); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Creating $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv --clear $(VENV); \
	  fi; \
	done; \
	echo "$(or $(PYTHON),python3.11 to python3.14 or python3): not found, older than 3.11, or without its venv module." >&2; \
	echo "Install Python 3.11 or later (on Debian with python3-venv), or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	exit 1

$(VENV)/.bootstrap: requirements-bootstrap.lock $(BIN)/python
	@echo "Installing uv and the build backend"
	@$(PIP) install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@touch $@

$(VENV)/.audit: requirements-audit.lock $(VENV)/.bootstrap
	@$(BIN)/python -m venv --clear $(VENV)/audit
	@mkdir -p $(VENV)/tmp && TMPDIR="$(CURDIR)/$(VENV)/tmp" $(UV) pip install --quiet --python $(VENV)/audit/bin/python \
	  --require-hashes -r requirements-audit.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml $(VENV)/.bootstrap
	@$(UV_INSTALL) --require-hashes -r requirements-dev.lock
	@$(UV_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.examples

$(VENV)/.examples: requirements-examples.lock pyproject.toml $(VENV)/.bootstrap
	@$(UV_INSTALL) --require-hashes -r requirements-examples.lock
	@$(UV_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
