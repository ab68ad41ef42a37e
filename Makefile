# Gateline: one name per chore. `make run` and `make test` set up all they need.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
ARGS   ?=
SHORT  := -m "not power and not chaos and not soak"

.PHONY: help run test setup models lint types imports unit bench evaluate protos power chaos sim connected lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: setup models ## set up, start two stations and the cloud, tell the story (ARGS=--once to end after it)
	@$(PY) -m tests.story $(ARGS)

test: setup models lint types imports unit ## set up, then lint, types, import rules and all tests
	@echo "gateline: all checks passed"

setup: $(VENV)/.gateline-installed ## make the virtual environment and install the pinned packages

$(VENV)/.gateline-installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gateline: needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11 ..."; exit 1; }
	@echo "gateline: making $(VENV)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || \
	  { echo "gateline: this Python cannot make virtual environments (on Debian: apt-get install python3-venv)"; exit 1; }
	@echo "gateline: installing pinned packages (about 90, one to three minutes the first time)"
	@$(PY) -m pip install --disable-pip-version-check --require-hashes -r requirements.lock \
	  | sed -u -n -E 's/^(Collecting|Installing collected|Successfully installed)(.{0,70}).*/  \1\2/p'
	@$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "gateline: installed"

models: setup ## fetch and verify the default models
	@$(PY) -m models.fetch

lint: setup ## style
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: setup ## strict types
	@$(PY) -m mypy

imports: setup ## the dependency arrows
	@$(VENV)/bin/lint-imports

unit: setup models ## all tests, with the short versions of the long suites
	@$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(SHORT) $(ARGS)

power: setup ## simulated power cuts, long version
	@$(PY) -m pytest -m power -s $(ARGS)

chaos: setup models ## kill -9 of every process in turn during the story, 20 rounds
	@$(PY) -m pytest -m chaos -s $(ARGS)

sim: setup ## a city in virtual time from many seeds (ARGS="--seeds 100000 --jobs 2", or one seed to replay)
	@$(PY) -m tests.sim $(ARGS)

connected: setup models ## what a connected city promises, measured on its real processes
	@$(PY) -m tests.connected $(ARGS)

bench: setup models ## milliseconds per stage and per passenger, 1:N search
	@$(PY) -m edge_gate bench $(ARGS)

evaluate: setup models ## accuracy on a folder of faces: make evaluate ARGS=FOLDER
	@$(PY) -m edge_gate evaluate $(ARGS)

protos: setup ## generate the protobuf code again
	@$(PY) -m grpc_tools.protoc -I protos --python_out=protos --pyi_out=protos --grpc_python_out=protos \
	  protos/gateline/sync/v1/*.proto

lock: setup ## resolve the pinned packages again
	@$(PY) -m pip install --quiet uv
	@$(PY) -m uv pip compile pyproject.toml --extra dev --extra milvus --universal --generate-hashes --no-annotate \
	  --python-version 3.11 --quiet --upgrade --output-file requirements.lock

clean: ## remove what setup and runs have made
	rm -rf $(VENV) var models/files .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
