# Two commands matter: `make demo` and `make test`. Both set everything up first.
#   make demo DATA=my.nc VAR=sst     maps your own gappy file
#   make PYTHON=python3.12 test      uses another Python (>= 3.11)

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format types contracts doctest docs bench build clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(INSTALLED)-plot ## train, map and score the bundled sample, or DATA=my.nc VAR=sst
	$(BIN)/python examples/demo.py --output "$(DEMO)" \
	  $(if $(DATA),--data "$(DATA)") $(if $(VAR),--variable "$(VAR)")

test: $(INSTALLED)-test ## run the fast tests
	$(BIN)/python -m pytest -m "not slow"

test-all: $(INSTALLED)-test ## run every test
	$(BIN)/python -m pytest

lint: $(INSTALLED)-dev ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)-dev ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED)-dev ## check types
	$(BIN)/mypy

contracts: $(INSTALLED)-dev ## check that rooms import only from the floors below
	$(BIN)/lint-imports --no-logo

doctest: $(INSTALLED)-test ## run the examples in the docstrings
	$(BIN)/python -m pytest --doctest-modules xr4dvar

docs: $(INSTALLED)-docs ## build the docs, warnings as errors
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(INSTALLED)-dev ## time the import
	$(BIN)/python benchmarks/import_time.py

build: $(INSTALLED)-dev ## make the wheel and the source archive
	$(BIN)/python -m build

clean: ## remove what these commands made, the environment too
	rm -rf $(VENV) build dist docs/_build docs/api/generated docs/jupyter_execute
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# One stamp an extra: repeated calls install nothing, a changed dependency installs again.
$(INSTALLED)-%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing xr4dvar[$*] into $(VENV): minutes the first time, nothing after that"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
