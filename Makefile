# make run     the whole product on this machine: http://127.0.0.1:8050 (DLV_* settings are passed through)
# make test    all tests; says what is skipped and why        make lint, make types, make bench
# make faults  the tests of faults, which last as long as docs/schedule.md says: half an hour
# Needs Python 3.11 or newer and nothing else; PYTHON=... chooses another one.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# tests that share one machine's servers run side by side on as many processes
JOBS ?= 2

.PHONY: run test faults lint types bench clean tools
.DEFAULT_GOAL := run

run: $(VENV)/.runs $(BIN)/dlv
	@exec $(BIN)/python cli.py up

# ---- the virtual environment; made again only when Python is missing from it, filled again when the list changes

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "DLV needs Python 3.11 or newer. Debian, Ubuntu: apt install python3 python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is older than 3.11; name another one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments (its ensurepip is missing)." >&2; \
	  echo "Debian, Ubuntu: apt install python3-venv (or python3.11-venv); then again: make run" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(BIN)/pip: $(BIN)/python
	@test -x $@ || { echo "$(VENV) is half-made (pip is missing): remove it, then again: make run" >&2; exit 1; }

$(VENV)/.runs: requirements.txt | $(BIN)/python $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.develops: requirements.txt requirements-dev.txt | $(BIN)/python $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.runs

# `.venv/bin/dlv up` from anywhere
$(BIN)/dlv: $(VENV)/.runs
	@printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' "$(abspath $(BIN))/python" "$(abspath cli.py)" > $@
	@chmod +x $@

# ---- tests

test: $(VENV)/.develops tools
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

faults: $(VENV)/.develops
	DLV_TEST_LONG=1 $(BIN)/python -m pytest tests/integration/test_faults.py $(ARGS)

# Chromium, Java, Maven's jars, buildah: fetched where that can be done, else it is said, and the tests that need it
# say they are skipped (DLV_TEST_REQUIRE=all: they fail).
tools:
	@deploy/test-tools.sh

lint: $(VENV)/.develops
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.develops
	$(BIN)/mypy

bench: $(VENV)/.develops
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache
