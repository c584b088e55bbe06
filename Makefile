# Agent Session Kit. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

PORT ?= 8000

# Compiled modules are kept, whatever the surroundings say: the tests start hundreds of processes, and each would
# compile all of boto3 and Strands again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test compat compat-s3 published-tests lint types openapi format lock lock-agent clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

# --- environments ---------------------------------------------------------------------------------------
# Every environment is installed from a lock with hashes. Stamps make a second call instant.

$(UV): requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $(UV)

$(VENV)/.local: requirements/local.txt lambda_src/agent/requirements.txt $(UV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/local.txt -r lambda_src/agent/requirements.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt lambda_src/agent/requirements.txt pyproject.toml $(UV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt -r lambda_src/agent/requirements.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.local

setup: $(VENV)/.dev ## install everything a developer needs into .venv

# Providers of models whose SDK is a package of its own: each has an extra, and a lock of the endpoint with it.
PROVIDERS := openai anthropic gemini ollama litellm

lock: $(UV) ## resolve the dependency locks again (needs the package registry)
	$(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header requirements/bootstrap.in -o requirements/bootstrap.txt
	for provider in $(PROVIDERS); do \
		$(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml --extra endpoint --extra $$provider -c requirements/dev.txt -o requirements/endpoint-$$provider.txt || exit 1; \
	done
	$(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml --extra endpoint --extra local --extra client --extra cli --extra cdk --extra dev $(PROVIDERS:%=--extra %) -o requirements/dev.txt
	$(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml --extra endpoint -c requirements/dev.txt -o requirements/endpoint.txt
	$(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml --extra endpoint --extra local -c requirements/dev.txt -o requirements/local.txt
	$(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header requirements/docs.in -o requirements/docs.txt
	$(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header requirements/localstack.in -o requirements/localstack.txt
	for version in $(RUNTIME_CLIENTS); do \
		echo "awslambdaric==$$version" | $(UV) pip compile --quiet --no-deps --universal --python-version 3.11 --generate-hashes --no-annotate --no-header - || exit 1; \
	done > requirements/runtime-clients.txt
	for version in $(COMPAT_VERSIONS); do \
		echo "strands-agents==$$version" | $(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header requirements/compat.in - -o requirements/compat-$$version.txt || exit 1; \
	done
	@PYTHONPATH=layer:. $(BIN)/python -m infra.commands.agent_lock $(UPGRADE)

lock-agent: $(UV) ## resolve the packages of your own agent, lambda_src/agent/requirements.in, and nothing else
	@PYTHONPATH=layer:. $(BIN)/python -m infra.commands.agent_lock

lock-newest: $(UV) ## resolve the locks to the newest releases that the ranges allow
	$(MAKE) lock UPGRADE=--upgrade

# --- use ------------------------------------------------------------------------------------------------

run: $(VENV)/.local ## serve the agent endpoint on this machine (PORT=, STORE=, MODEL=, AUTH=dev for people with tokens)
	@PYTHONPATH=layer:. $(BIN)/python -m infra.commands.agent_lock --check
	@PYTHONPATH=layer:client:. $(BIN)/python -m local

.PHONY: cli cli-docs
cli: $(VENV)/.dev ## look at the sessions of a store (ARGS="ls --store s3://bucket"; see docs/CLI.md)
	@PYTHONPATH=layer:client:cli $(BIN)/python -m agent_sessions_cli $(ARGS)

# --- check ----------------------------------------------------------------------------------------------

test: $(VENV)/.dev ## run the tests
	$(BIN)/python -m pytest $(ARGS)

.PHONY: test-page page-vendor page-pictures
test-page: $(VENV)/.dev node_modules/.package-lock.json ## try the chat page in Chromium (CHROMIUM= where it is; ARGS=)
	@$(BIN)/python -m tests.page.browser_there
	$(BIN)/python -m pytest tests/page $(ARGS)

page-pictures: $(VENV)/.dev ## take the README's pictures of the chat page: docs/pictures/page-light.png, page-dark.png
	@PYTHONPATH=layer:client:. $(BIN)/python -m tests.page.pictures

page-vendor: $(VENV)/.dev node_modules/.package-lock.json ## copy what the chat page has from others, as package-lock.json pins it
	@$(BIN)/python -m infra.commands.page_vendor

published-tests: $(VENV)/.dev ## run Strands' own published session tests with our modules in place of theirs
	@$(BIN)/python -m tests.published

# One environment per Strands release: the oldest and the newest of the declared range, and where its inside changed.
COMPAT_VERSIONS ?= 1.40.0 1.55.1 1.57.2 1.62.0

# Releases of Lambda's runtime client that the transport has to fit: those of the last two years.
RUNTIME_CLIENTS ?= 3.0.1 3.0.2 3.1.0 3.1.1 4.0.0 4.0.1 4.0.2 4.0.3 4.0.4 4.1.0 4.2.0 4.2.1 4.2.2

.venv-strands-%/.installed: requirements/compat-%.txt $(UV)
	@$(UV) venv --quiet --clear --python $(BIN)/python .venv-strands-$*
	@$(UV) pip install --quiet --python .venv-strands-$*/bin/python --require-hashes -r $<
	@touch $@

# LocalStack's own process runs in an environment of its own; the tests run in ours.
.venv-localstack/.installed: requirements/localstack.txt $(UV)
	@$(UV) venv --quiet --clear --python $(BIN)/python .venv-localstack
	@$(UV) pip install --quiet --python .venv-localstack/bin/python --require-hashes -r $<
	@touch $@

compat-s3: $(VENV)/.dev .venv-localstack/.installed ## run the suites that touch S3 on another implementation of it, LocalStack's (ARGS=)
	@PYTHONPATH=layer:client:. $(BIN)/python -m tests.compat_s3 $(ARGS)

# KMS changes ETags only, which no release of Strands sees: that store is left to `make test`.
compat: $(COMPAT_VERSIONS:%=.venv-strands-%/.installed) ## run the contract suite on each Strands release we name (COMPAT_VERSIONS=)
	@for version in $(COMPAT_VERSIONS); do \
		echo "Strands $$version"; .venv-strands-$$version/bin/python -m pytest -q tests/contract -k "not kms" $(ARGS) || exit 1; \
	done

.PHONY: verify
verify: $(VENV)/.dev ## take two callers' turns in every order of their requests, with one death at every point (ARGS=--runs N)
	@PYTHONPATH=layer:client:. $(BIN)/python -m tests.concurrency.verify $(ARGS)

.PHONY: transport-matrix
transport-matrix: $(VENV)/.dev ## run the transport on each release of Lambda's runtime client of the last two years (ARGS=--newest)
	@$(BIN)/python -m tests.transport $(ARGS)

lint: $(VENV)/.dev ## ruff, formatting included, and the arrows between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@PYTHONPATH=layer:client:cli:. $(BIN)/lint-imports --no-cache

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

openapi: $(VENV)/.dev ## write docs/openapi.json, the HTTP contract, from the code
	@PYTHONPATH=layer:client:. $(BIN)/python -m lambda_src.doors > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

cli-docs: $(VENV)/.dev ## write docs/CLI.md from the commands
	@PYTHONPATH=layer:client:cli $(BIN)/python -m agent_sessions_cli.reference > docs/CLI.md.new && mv docs/CLI.md.new docs/CLI.md

.venv-docs/.installed: requirements/docs.txt $(UV)
	@$(UV) venv --quiet --clear --python $(BIN)/python .venv-docs
	@$(UV) pip install --quiet --python .venv-docs/bin/python --require-hashes -r $<
	@touch $@

.PHONY: docs
docs: .venv-docs/.installed ## build the site with the API reference in build/site (a warning is an error)
	@$(BIN)/python -m infra.commands.docs_source
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# --- release --------------------------------------------------------------------------------------------

.PHONY: wheel release-notes lock-newest
wheel: $(VENV)/.dev ## build the wheel of the session library in dist/
	@$(UV) build --quiet --wheel --out-dir dist .

release-notes: $(VENV)/.dev ## print what the changelog says of a release (TAG=v1.2.3)
	@$(BIN)/python -m infra.commands.release_notes "$(TAG)"

# --- bench ----------------------------------------------------------------------------------------------

.PHONY: bench bench-bounds bench-coldstart bench-cpu bench-long
bench: $(VENV)/.dev ## measure the session managers side by side (ARGS=--quick, --publish; see docs/BENCHMARKS.md)
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench $(ARGS)
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench.first_word $(ARGS)
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench.large_answer $(ARGS)

bench-bounds: $(VENV)/.dev ## measure what each route costs at 20,000 messages and 5,000 sessions (ARGS=--quick, --publish)
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench.bounds $(ARGS)

bench-cpu: $(VENV)/.dev ## measure the processor time of a warm endpoint turn (ARGS="--before REVISION")
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench.endpoint_cpu $(ARGS)

bench-long: $(VENV)/.dev ## measure sessions of 20,000 messages beside ones of 100, in about five minutes (ARGS="--window 0", --grown 0 for half of it, --size, --short, --grow)
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench.long_session $(ARGS)

.PHONY: bench-page bench-fork
bench-fork: $(VENV)/.dev ## measure the list of recent sessions, a fork, and what a turn keeps for one (ARGS=--quick, --publish)
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench.going_back $(ARGS)

bench-page: $(VENV)/.dev ## measure the chat page in Chromium: first paint, a conversation of 1,000 messages (ARGS=--publish)
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench.page $(ARGS)

bench-coldstart: $(VENV)/.dev ## measure how the deployed package starts, beside the same built plainly (ARGS=--publish)
	@command -v node >/dev/null || { echo "The package is built by the CDK app, which needs Node.js 20 or newer: https://nodejs.org"; exit 1; }
	@PYTHONPATH=layer:client:. $(BIN)/python -m bench.coldstart $(ARGS)

clean: ## remove what the targets above created
	rm -rf $(VENV) .venv-* .cache build cdk.out .pytest_cache .mypy_cache .ruff_cache .hypothesis node_modules

# --- deploy ---------------------------------------------------------------------------------------------
# ARGS= goes to the CDK CLI: make deploy ARGS="-c stage=test -c session_ttl_days=7 --profile work".

.PHONY: synth deploy destroy smoke config-docs operations-docs dashboard-preview rehearse rehearse-yours
CDK := ./node_modules/.bin/cdk
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION = 1

node_modules/.package-lock.json: package.json package-lock.json
	@command -v npm >/dev/null || { echo "Node.js 20 or newer is needed for the CDK CLI: https://nodejs.org"; exit 1; }
	@npm ci --silent --no-audit --no-fund
	@touch $@

synth: $(VENV)/.dev node_modules/.package-lock.json ## build the layers and the CloudFormation template in cdk.out (ARGS=)
	@$(BIN)/python -m infra.commands.check_arguments synth $(ARGS)
	$(CDK) synth --quiet $(ARGS)

deploy: $(VENV)/.dev node_modules/.package-lock.json ## deploy the endpoint to the AWS account of your credentials (ARGS=)
	@$(BIN)/python -m infra.commands.check_arguments deploy $(ARGS)
	$(CDK) deploy $(ARGS)

destroy: $(VENV)/.dev node_modules/.package-lock.json ## empty the bucket and remove the stack; refuses in stage prod (ARGS=)
	@$(BIN)/python -m infra.commands.destroy $(ARGS)

smoke: $(VENV)/.dev ## ask a real deployment what it promises (URL=, ARGS= as it was deployed with)
	@$(BIN)/python -m infra.commands.smoke "$(URL)" $(ARGS)

config-docs: $(VENV)/.dev ## write docs/CONFIGURATION.md from infra/config.py
	@$(BIN)/python -m infra.commands.config_docs

dashboard-preview: $(VENV)/.dev ## draw the dashboard from a run on this machine: docs/pictures/dashboard.svg
	@PYTHONPATH=layer:client:. $(BIN)/python -m tests.metrics.preview

operations-docs: $(VENV)/.dev ## write what docs/OPERATIONS.md has from the code: metrics, alarms, queries
	@PYTHONPATH=layer:client:. $(BIN)/python docs/operations.py

rehearse: $(VENV)/.dev node_modules/.package-lock.json ## deploy into an emulator on this machine and talk to what was deployed
	@$(BIN)/python -m tests.deploy $(ARGS)

rehearse-yours: $(VENV)/.dev node_modules/.package-lock.json ## follow docs/YOURS.md from a fresh clone of the last commit to a deployed agent
	@$(BIN)/python -m tests.deploy.yours
