# Two commands do everything: `make demo` and `make test`. Both make .venv if it is not there.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.PHONY: demo test test-full lint types docs bench clean

demo: $(VENV)/.generate  ## render, score and report; then from a model's name to a report: no download but the packages
	$(BIN)/wanbench demo
	$(BIN)/wanbench run --model wan-tiny --suite smoke --profile lite --device cpu --out runs/tiny

test: $(VENV)/.full  ## everything that is quick
	$(BIN)/python -m pytest -m "not full" -n 2 --dist loadfile

test-full: $(VENV)/.full  ## what is slow too
	$(BIN)/python -m pytest

lint: $(VENV)/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.full
	$(BIN)/mypy

docs: $(VENV)/.full  ## build/site; a broken link ends it (but not with --quiet, which hides warnings from mkdocs itself)
	$(BIN)/mkdocs build

bench: $(VENV)/.full  ## ratios, measured side by side
	$(BIN)/python -m benchmarks.lite
	$(BIN)/python -m benchmarks.vision

clean:
	rm -rf $(VENV) runs build dist

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.generate: $(BIN)/uv pyproject.toml constraints.txt
	$(INSTALL) --editable '.[generate]'
	@touch $@

$(VENV)/.full: $(BIN)/uv pyproject.toml constraints.txt
	$(INSTALL) --editable '.[all,dev]'
	@touch $@ $(VENV)/.generate
