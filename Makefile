# Every target sets up what it needs: a virtual environment with the pinned constraints. Training needs the package's own
# dependencies, everything else those of the extra `dev` too; tools/requirements.py lists both.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
LISTED := pyproject.toml constraints.txt tools/requirements.py

.PHONY: help setup train test check bench fuzz crash docs format clean

help:
	@echo "make train   train and save surrogates on the bundled measurements"
	@echo "make test    run the whole test suite"
	@echo "make check   lint, types, import directions"
	@echo "make fuzz    change the inputs of every reader a million times (FUZZ='csv --runs 1000': of one, a thousand)"
	@echo "make bench   print the figures of docs/benchmarks.md"
	@echo "make crash   kill every command that writes 200 times, on a full and on a slow disk too; resumes (strace, hours)"
	@echo "make docs    build the documentation site to build/docs, warnings being errors"

setup: $(VENV)/.installed-dev

$(VENV)/.installed: $(LISTED)
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m tools.requirements > $(VENV)/requirements.txt
	$(INSTALL) --requirement $(VENV)/requirements.txt
	$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m tools.requirements dev > $(VENV)/requirements-dev.txt
	$(INSTALL) --requirement $(VENV)/requirements-dev.txt
	@touch $@

# One process a core; the surrogates are the same for any number of them.
train: $(VENV)/.installed
	$(BIN)/hwnas train --jobs -1
	@echo "now: . $(VENV)/bin/activate, then: hwnas predict 0 1 2"

# Three workers suit two cores: some tests wait, for time limits and for other processes. One thread each: with more, their
# threads wait for one another. Compiled code is kept, even where a container
# says otherwise: the tests start hundreds of processes, and each would compile the package again, half a second long.
test: setup
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal --doctest-modules hwnas_surrogate tests

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

# atheris has wheels for Linux and some versions of Python only: it is no dependency of the package or its tests.
fuzz: setup
	$(BIN)/python -c 'import atheris' 2> /dev/null || $(BIN)/python -m pip install --disable-pip-version-check 'atheris>=2.3'
	$(BIN)/python -m fuzz $(or $(FUZZ),--runs 1000000)

crash: setup
	$(BIN)/python -m crash --results .cache/crash.jsonl

docs: setup
	$(BIN)/python -m tools.docs

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
