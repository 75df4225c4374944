# Each target is a line or two; the work is in `invoke` tasks and in tests.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Tests keep their files in a folder of their own, gone when they end.
PYTEST = tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && TMPDIR="$$tmp" $(BIN)/python -m pytest

.PHONY: setup demo test quick lint lock clean

setup: .venv/ready ## a virtual environment, the dependencies, the Pulumi engine
	$(BIN)/invoke setup

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	$(BIN)/python -m compileall -q console emulator engine node runtime specs components stacks tasks.py trainyard.py
	touch .venv/ready

demo: setup ## the whole line once, as a story
	$(BIN)/invoke demo

test: setup lint quick ## everything
	$(PYTEST) -m "processes and not clients" -n 3 --dist loadfile
	$(PYTEST) -m "engine or clients" -p no:randomly -n 2 --dist loadfile

quick: .venv/ready ## what starts no process, in seconds
	$(PYTEST) -m "not engine and not clients and not processes"

lint: .venv/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock: ## pin the dependencies anew
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
