# Agent Session Kit. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help setup run test published-tests lint types format lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

# --- environments ---------------------------------------------------------------------------------------
# Every environment is installed from a lock with hashes. Stamps make a second call instant.

$(UV): requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $(UV)

$(VENV)/.endpoint: requirements/endpoint.txt $(UV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/endpoint.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml $(UV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.endpoint

setup: $(VENV)/.dev ## install everything a developer needs into .venv

lock: $(UV) ## resolve the dependency locks again (needs the package registry)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header requirements/bootstrap.in -o requirements/bootstrap.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml --extra endpoint --extra cdk --extra dev -o requirements/dev.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml --extra endpoint -c requirements/dev.txt -o requirements/endpoint.txt

# --- use ------------------------------------------------------------------------------------------------

run: $(VENV)/.endpoint ## serve the agent endpoint on this machine (PORT=, STORE=, MODEL=)
	@PYTHONPATH=layer:. $(BIN)/python -m local

# --- check ----------------------------------------------------------------------------------------------

test: $(VENV)/.dev ## run the tests
	$(BIN)/python -m pytest $(ARGS)

published-tests: $(VENV)/.dev ## run Strands' own published session tests with our modules in place of theirs
	@$(BIN)/python -m tests.published

lint: $(VENV)/.dev ## ruff, formatting included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what the targets above created
	rm -rf $(VENV) .venv-* .cache build cdk.out .pytest_cache .mypy_cache .ruff_cache .hypothesis
