# Retinue: `make` lists what there is to do.

IMAGES ?=
DETECTORS ?=
STACK ?=
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test test-aws test-stack check lint format types boundaries lock clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: .venv/for-use ## detect what is in photographs: IMAGES=folder, DETECTORS=name,name
	@$(BIN)/retinue run $(if $(DETECTORS),--detectors '$(DETECTORS)') -- $(if $(IMAGES),'$(IMAGES)')

test: .venv/for-development ## run every test
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadgroup

test-aws: .venv/for-development ## run the Rekognition tests against AWS: needs credentials, costs cents
	@$(BIN)/python tests/rekognition/aws_account.py; code=$$?; \
	if [ $$code -eq 3 ]; then exit 0; elif [ $$code -ne 0 ]; then exit $$code; fi; \
	RETINUE_TEST_AWS=1 $(BIN)/pytest tests/rekognition/test_contract.py -k aws -p no:randomly

check: .venv/for-development lint types boundaries test ## all that CI runs: lint, types, boundaries, tests

lint: .venv/for-development ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test-stack: .venv/for-development ## apply infra to LocalStack and drive it: STACK=light for a lighter one
	@PYTHONPATH=tests STACK='$(STACK)' $(BIN)/python -m stack

format: .venv/for-development ## mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/for-development ## check types, strictly
	$(BIN)/mypy

boundaries: .venv/for-development ## check who may import whom
	$(BIN)/lint-imports

lock: .venv/for-development ## choose versions anew and install them
	$(BIN)/uv lock --upgrade
	$(SYNC)

clean: ## remove the environment and the laptop's history (.venv, .retinue)
	rm -rf .venv .retinue

# The environment: made once, and again when a pyproject.toml or the lock changes. What you install
# into it yourself, such as a plugin of your own, stays. Tests and checks need more than a run does.
PROJECTS := pyproject.toml uv.lock $(wildcard */pyproject.toml plugins/*/pyproject.toml)
SYNC := $(BIN)/uv sync --frozen --inexact --compile-bytecode --quiet

.venv/for-use: $(PROJECTS)
	@test -x $(BIN)/python || { echo "creating .venv"; $(PYTHON) -m venv .venv; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@echo "installing packages into .venv"
	@$(SYNC) --no-dev
	@touch $@

.venv/for-development: .venv/for-use
	@echo "installing what tests and checks need"
	@$(SYNC)
	@touch $@
