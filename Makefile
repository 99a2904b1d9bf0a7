# Holdfast. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: serve demo dev test check night fix schema lock bench help system

PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.8
JOBS ?= 2
MINUTES ?= 30
NAME ?= ground

serve: .venv/.runtime ## Start the server on http://localhost:8040 (first run: builds .venv)
	$(BIN)/python -m app serve

demo: .venv/.runtime ## The same with sample data and stand-ins; nothing leaves the machine
	$(BIN)/python -m app serve --demo

dev: .venv/.dev ## The demo, started again whenever a source file changes
	@trap 'kill $$server 2>/dev/null; wait $$server; exit 0' INT TERM; \
	while :; do \
	  touch .venv/.started; $(BIN)/python -m app serve --demo & server=$$!; \
	  until find $(WATCHED) -newer .venv/.started -type f ! -name '*.pyc' | grep -q .; do sleep 1; done; \
	  kill $$server 2>/dev/null; wait $$server; \
	done
WATCHED := app jobs db templates static locales

test: .venv/.dev system check ## Everything the pipeline runs: system packages, check, all tests
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

check: .venv/.dev ## The quick part: lint, types, import contracts, templates, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/pytest -q tests/test_house.py

night: .venv/.dev system ## Crash, race and queue tests again and again: make night MINUTES=30
	$(BIN)/python -m tests.night --minutes $(MINUTES)

fix: .venv/.dev ## Let ruff repair and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: .venv/.dev ## Write db/schema.json and docs/db.md from the migrations
	$(BIN)/python -m db.schema snapshot
	$(BIN)/python -m db.schema docs

lock: .venv/.dev ## Write requirements*.txt from pyproject.toml
	test -x $(BIN)/uv || $(BIN)/python -m pip install -qq uv==$(UV_VERSION)
	$(BIN)/uv pip compile $(LOCK) --output-file requirements.txt pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
LOCK := --quiet --extra codes --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11

bench: .venv/.dev ## Print figures of one benchmark: make bench NAME=ground
	$(BIN)/python -m bench.$(NAME)

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

# What follows is not meant to be called by name.

# Installs Chromium and the like where it may (root on Debian); elsewhere says what is missing.
system: .venv/.dev
	@$(BIN)/python -m tests.system

# pip takes its index from the machine's own configuration; the hashes say what may arrive. The lists are whole, so pip
# resolves nothing (--no-deps): older pips look past a pin for a package that is asked for with extras.
.venv/.runtime: requirements.txt | .venv/bin/python
	@echo 'Installing what requirements.txt locks into .venv ...'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt | .venv/.runtime
	@echo 'Installing what requirements-dev.txt locks into .venv ...'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Holdfast needs Python 3.11 or newer ($(PYTHON) is older): make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "On Debian: apt-get install python3-venv"; exit 1; }
