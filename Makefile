# What a newcomer types. `make help` lists it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
# Older pythons are not tried in vain: the first one that is new enough makes the virtual environment.
FIND_PYTHON := for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done
PYTEST := $(PYTHON) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

help: ## what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(VENV)/installed ## run the portal with its demo (PORT=8000 DATA_DIR=.data); stop it with Ctrl-C
	@exec $(PYTHON) manage.py up

setup: $(VENV)/installed ## make .venv and install what the portal needs

test: $(VENV)/installed-dev ## everything on the real parts, the browser included
	$(PYTEST) -m "not slow"

test-all: $(VENV)/installed-dev ## the same and all that takes long
	PROPERTY_EXAMPLES=40 $(PYTEST)

check: $(VENV)/installed-dev ## format, types, import contracts, migrations, messages
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(PYTHON) manage.py makemigrations --check --dry-run
	$(PYTHON) manage.py messages --check

bench: $(VENV)/installed-dev ## measure, and compare with what was measured before
	$(PYTHON) -m pytest tests/bench -p no:xdist

messages: $(VENV)/installed ## collect the words of the portal and list those without their Chinese
	$(PYTHON) manage.py messages

shots: $(VENV)/installed-dev ## pictures of every page, 360 and 1280 px, into shots/
	$(PYTHON) -m pytest tests/shots.py -p no:xdist

lock: $(VENV)/installed-dev ## remake both lock files from pyproject.toml
	$(PYTHON) -m pip install --quiet uv
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml -o requirements.lock
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

$(PYTHON):
	@found=$$($(FIND_PYTHON)); \
	if [ -z "$$found" ]; then echo "The portal needs Python 3.11 or newer with venv (Debian: apt-get install python3 python3-venv)." >&2; exit 1; fi; \
	$$found -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv is missing (Debian: apt-get install python3-venv)." >&2; exit 1; }

$(VENV)/installed: requirements.lock | $(PYTHON)
	@echo "Installing what the portal needs, as requirements.lock names it."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock | $(VENV)/installed
	@echo "Installing what the tests need, as requirements-dev.lock names it."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

.PHONY: help up setup test test-all check bench messages shots lock
