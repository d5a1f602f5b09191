# Retinue: `make` lists what there is to do.

IMAGES ?=
DETECTORS ?=
STACK ?=
BENCHMARKS ?=
PYTHON ?= python3
BIN := .venv/bin
BUILD_DOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
ENV ?= dev
SBOM := dist/sbom.cdx.json
DEPLOY = $(BIN)/retinue-deploy
AWS_OPTIONS = --env '$(ENV)' $(if $(REGION),--region '$(REGION)')
TAG_OPTION = $(if $(IMAGE_TAG),--image-tag '$(IMAGE_TAG)')

.DEFAULT_GOAL := help
.PHONY: help run test test-faults test-aws test-stack bench check lint format types boundaries commits docs serve-docs screenshots \
	lock clean wheels test-wheels release publish deploy plan drift image sign audit sbom smoke status logs retinue destroy base certificates test-image

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

# What a person names goes through the environment: the shell must not read it, whatever it holds.
run: export RUN_IMAGES = $(value IMAGES)
run: export RUN_DETECTORS = $(value DETECTORS)
run: .venv/for-use ## detect what is in photographs: IMAGES=folder, DETECTORS=name,name
	@$(BIN)/retinue run $(if $(value DETECTORS),--detectors "$$RUN_DETECTORS") -- $(if $(value IMAGES),"$$RUN_IMAGES")

test: .venv/for-development ## run the tests
	$(BIN)/pytest --numprocesses auto --dist loadscope -m 'not alone and not long and not wheels and not image'
	$(BIN)/pytest -m alone $(shell grep -rl pytest.mark.alone tests plugins/*/tests --include='*.py') # not all: importing them takes 10 s

test-faults: .venv/for-development ## break what a worker depends on: SCHEDULES=100, or those of a SEED alone
	FAULTS_SEED='$(or $(SEED),1)' FAULTS_SCHEDULES='$(or $(SCHEDULES),100)' \
		$(BIN)/pytest tests/faults$(if $(SEED),/test_schedules.py) --numprocesses 0 --verbose
	$(if $(SEED),,$(BIN)/pytest -m long --ignore tests/faults)
	$(if $(SEED),,$(BIN)/pytest -m hypothesis --hypothesis-profile thorough --numprocesses logical --timeout 900)

test-aws: .venv/for-development ## run the Rekognition tests against AWS: needs credentials, costs cents
	@$(BIN)/python tests/rekognition/aws_account.py; code=$$?; \
	if [ $$code -eq 3 ]; then exit 0; elif [ $$code -ne 0 ]; then exit $$code; fi; \
	RETINUE_TEST_AWS=1 $(BIN)/pytest tests/rekognition/test_contract.py -k aws -p no:randomly

bench: .venv/for-development ## measure, into benchmarks/*.json: BENCHMARKS='rate_limits history' for some
	@PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCHMARKS)

check: .venv/for-development lint types boundaries commits test ## lint, types, boundaries, commits, tests

lint: .venv/for-development ## check style, format and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tools.prose
	$(BIN)/python -m tools.terraform_tables --check

test-stack: .venv/for-development ## apply infra to LocalStack and drive it: STACK=light for a lighter one
	@PYTHONPATH=tests STACK='$(STACK)' $(BIN)/python -m stack

format: .venv/for-development ## fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/for-development ## check types, strictly
	$(BIN)/mypy

boundaries: .venv/for-development ## check who may import whom
	$(BIN)/lint-imports

commits: .venv/for-development ## check the subjects of commits
	@$(BIN)/python -m tools.commits

docs: .venv/for-development ## build the documentation as a site, with warnings as errors
	$(BUILD_DOCS) build --strict --config-file docs/site/mkdocs.yml
	@echo "built: .site/index.html. To read while you write: make serve-docs"

serve-docs: .venv/for-development ## show the documentation on http://127.0.0.1:8000, renewed as you write
	$(BUILD_DOCS) serve --config-file docs/site/mkdocs.yml --watch README.md

screenshots: .venv/for-development ## take the documentation's pictures of the console; needs Chromium
	@$(BIN)/python -m tools.screenshots

lock: .venv/for-development ## upgrade the locked versions and install them
	$(BIN)/uv lock --upgrade
	$(BIN)/uv lock --upgrade --project tests/benchmarks/peers
	$(BIN)/uv export --frozen --only-group build --no-header --quiet --output-file infra/image/build.txt
	$(SYNC) --all-extras

test-image: .venv/for-development ## build the container image, and drain a queue in it (as root)
	$(BIN)/pytest tests/image -rs -s

wheels: .venv/for-development ## build the wheels of all distributions, into dist
	@$(BIN)/python -m tools.release wheels

test-wheels: wheels ## install the wheels outside the clone, and use them: PYTHONS='3.11 3.14' for some
	WHEELS_PYTHONS='$(PYTHONS)' $(BIN)/pytest -m wheels tests/project tests/scaffold --numprocesses 2

release: .venv/for-development ## set the version, build, commit and tag: VERSION=0.3.0, DRY_RUN=1, SOURCE_URL=…
	@$(BIN)/python -m tools.release release '$(VERSION)' $(if $(SOURCE_URL),--source-url '$(SOURCE_URL)') \
		$(if $(DRY_RUN),--dry-run)

publish: .venv/for-development ## upload dist to PyPI, as the release workflow does
	$(BIN)/uv publish --trusted-publishing always dist/*.whl

deploy: .venv/for-development ## deploy to AWS: ENV=dev, REGION=…, IMAGE_TAG=an earlier one to roll back, PLAN=what was reviewed
	@$(DEPLOY) deploy $(AWS_OPTIONS) $(TAG_OPTION) $(if $(ALLOW_DELETE),--allow-delete) $(if $(PLAN),--plan '$(PLAN)')

plan: .venv/for-development ## show what a deployment would change, and save it for review
	@$(DEPLOY) plan $(AWS_OPTIONS) $(TAG_OPTION)

drift: .venv/for-development ## fail if AWS differs from these files
	@$(DEPLOY) drift $(AWS_OPTIONS) $(TAG_OPTION)

sign: .venv/for-development sbom ## sign the pushed container image, with its list of packages; needs cosign
	@$(DEPLOY) sign $(AWS_OPTIONS) $(TAG_OPTION) --sbom $(SBOM)

audit: .venv/for-development ## look for known vulnerabilities in the locked packages
	@mkdir -p dist
	$(BIN)/uv export --frozen --all-extras --no-dev --no-emit-workspace --quiet --output-file dist/locked.txt
	$(BIN)/uv tool run --from pip-audit==2.9.0 pip-audit --strict --require-hashes --disable-pip --requirement dist/locked.txt

sbom: .venv/for-development ## list the locked packages as CycloneDX: dist/sbom.cdx.json
	@mkdir -p dist
	$(BIN)/uv export --frozen --all-extras --no-dev --format cyclonedx1.5 --quiet --output-file $(SBOM)

image: .venv/for-development ## build the container image and push it
	@$(DEPLOY) image $(AWS_OPTIONS)

smoke: .venv/for-development ## upload one image to what is deployed, and wait for its rows
	@$(DEPLOY) smoke $(AWS_OPTIONS)

status: .venv/for-development ## show tasks and queues of what is deployed
	@$(DEPLOY) status $(AWS_OPTIONS)

logs: .venv/for-development ## print what workers and the console logged: POOL=name or console, MINUTES=15
	@$(DEPLOY) logs $(AWS_OPTIONS) $(if $(POOL),--pool '$(POOL)') $(if $(MINUTES),--minutes '$(MINUTES)')

retinue: .venv/for-development ## run a command in what is deployed: ARGS="failures --since 1d", POOL=name, OWNER=1
	@$(DEPLOY) retinue $(AWS_OPTIONS) $(if $(POOL),--pool '$(POOL)') $(if $(OWNER),--owner) -- $(ARGS)

destroy: .venv/for-development ## destroy an environment and all that is in it
	@$(DEPLOY) destroy $(AWS_OPTIONS) $(if $(CONFIRM),--confirm '$(CONFIRM)')

base: .venv/for-development ## pin the container image's base to what the registry has today
	@$(DEPLOY) base

certificates: .venv/for-development ## compare RDS's certificate authorities with AWS's, and take AWS's
	@$(DEPLOY) certificates

clean: ## remove the environment, the site, the wheels and the laptop's history
	rm -rf .venv .site .retinue dist

# The environment: made once, and again when a pyproject.toml or the lock changes. What you install
# into it yourself, such as a plugin of your own, stays. Tests and checks need more than a run does,
# and start so many processes that all modules are compiled first. For use, Python compiles those that
# it imports, which saves 60 MB.
# uv is installed by the hashes that the image uses, and is the last in that file.
PROJECTS := pyproject.toml uv.lock $(wildcard */pyproject.toml plugins/*/pyproject.toml infra/deploy/pyproject.toml)
SYNC := $(BIN)/uv sync --frozen --inexact
# On a terminal, uv draws its progress. In a log, the list of all packages, and our own, is left out.
SHOW = if [ -t 2 ]; then $(1) && touch $@; \
	else { $(1) 2>&1 && touch $@; } | grep -vE '^ [-+~] | @ file:'; fi; test -e $@

.venv/for-use: $(PROJECTS)
	@test -x $(BIN)/python || { echo "creating .venv; about a minute left until the first result"; $(PYTHON) -m venv .venv; }
	@test -x $(BIN)/uv || sed -n '/^uv==/,$$p' infra/image/build.txt \
		| $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r /dev/stdin
	@echo "installing packages into .venv: 130 MB to download at most, 420 MB on disk; about 50 s left the first time"
	@rm -f $@; $(call SHOW,$(SYNC) --extra local --no-dev)

.venv/for-development: .venv/for-use
	@echo "installing what tests and checks need into .venv: 1 GB more on disk"
	@rm -f $@; $(call SHOW,$(SYNC) --all-extras --compile-bytecode)
