# What everyone runs, and CI too. Everything lives in .venv; once installed, nothing here but `make lock` touches the network.

PYTHON ?= python3
PYTEST_FLAGS ?= -n 2
LOCK_FLAGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
INTEROP := .venv/.installed-interop
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help install install-interop demo ui test interop check format lock clean

help:
	@echo "make demo    simulate a fleet's logs, run 16 weeks of the loop over them, print each week's decision"
	@echo "make ui      open the Dagster UI over this project's own data"
	@echo "make test    run the tests"
	@echo "make interop run the tests against real emitters and loaders (installs the extra interop first, 0.5 GB)"
	@echo "make check   formatting, lint and types, changing nothing"
	@echo "make format  let ruff format the code and mend what it safely can"
	@echo "make install install what is locked into .venv (the others do it by themselves)"
	@echo "make lock    resolve requirements.lock again after a change to pyproject.toml (needs the network)"
	@echo "make clean   remove caches and build leftovers; data/ and .venv stay"

install: $(INSTALLED)

demo: $(INSTALLED)
	@$(BIN)/memloop demo

ui: $(INSTALLED)
	@$(BIN)/memloop ui

test: $(INSTALLED)
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

interop: $(INTEROP)
	@$(BIN)/python -m pytest memloop_tests/interop

install-interop: $(INTEROP)

check: $(INSTALLED)
	@$(BIN)/ruff format --check --quiet . || { echo "ruff format: the files above are not formatted. Fix: make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

format: $(INSTALLED)
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

lock: $(INSTALLED)
	@$(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --extra dev --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(LOCK_FLAGS) \
		--output-file requirements.lock pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --extra interop --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(LOCK_FLAGS) \
		--no-emit-package torch --constraint requirements.lock --output-file requirements-interop.lock pyproject.toml

clean:
	@rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find benchmarks memloop_assets memloop_tests -name __pycache__ -type d -prune -exec rm -rf {} +

# No build isolation: the locked setuptools builds the project, so nothing besides the lock is ever fetched.
$(INSTALLED): requirements.lock pyproject.toml
	@$(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null \
			|| { echo "memloop: $(PYTHON) is not Python 3.11 or newer. Fix: make PYTHON=/path/to/a/newer/python" >&2; exit 1; }; \
		rm -rf .venv; $(PYTHON) -m venv .venv >/dev/null 2>&1 \
			|| { rm -rf .venv; echo "memloop: $(PYTHON) cannot make a .venv. Fix: install its venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }; \
	}
	@echo "memloop: installing what requirements.lock names into .venv"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# No dependencies are looked up: the lock names them all, and leaves torch out.
$(INTEROP): $(INSTALLED) requirements-interop.lock
	@echo "memloop: installing what requirements-interop.lock names into .venv"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --requirement requirements-interop.lock
	@touch $@
