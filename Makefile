# make run | test | lint | bench | docs: each makes its own .venv when there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help run test lint format bench docs clean
help:
	@echo "make run    install, then simulate 8 fills of run1a in two subruns and write a report"
	@echo "make test   install the development tools, then run the tests"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make bench  speeds of this machine beside its own limits and peers"
	@echo "make docs   build the documentation into site/"

run: $(VENV)/.core
	$(BIN)/gm2sim run run1a --fills 8 --subruns 2 --out out/run1a --force $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.peers
	$(BIN)/gm2sim bench $(ARGS)

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) out site .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "gm2sim needs Python 3.11 or newer and '$(PYTHON)' is not: install it (apt-get install python3) or name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@if command -v uv >/dev/null 2>&1; then uv venv --quiet --python $(PYTHON) $(VENV); \
	elif ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "'$(PYTHON)' has no venv module: apt-get install python3-venv (or pip install uv), then run make again" >&2; exit 2; \
	else $(PYTHON) -m venv $(VENV); fi

# The stamp of an install is newer than pyproject.toml; a changed dependency installs again.
define install
	@echo "Installing gm2sim$(1) into $(VENV) ..."
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python -e '.$(1)'; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.$(1)'; fi
	@touch $@
endef

$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	$(call install)

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(call install,[dev])
	@touch $(VENV)/.core

$(VENV)/.peers: pyproject.toml | $(VENV)/bin/python
	$(call install,[peers])
	@touch $(VENV)/.core
