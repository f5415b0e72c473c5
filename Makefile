# Few verbs; `make help` lists them. Everything happens in .venv, nothing outside the checkout
# is changed. A step that is done leaves a stamp and is not repeated.

VENV   ?= .venv
BIN    := $(VENV)/bin
INPUT  ?=
PYTEST ?=
# Tests run in so many processes.
JOBS   ?= 2
# The first of these that is Python 3.11 or later with venv: make PYTHON=/path/to/python chooses.
FIT    := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; \
            do $$p -c '$(FIT)' 2>/dev/null && echo $$p && break; done)
# torch comes with TRAIN=1 and in CI only: from the public index it is gigabytes of CUDA.
comma  := ,
MORE   := $(if $(filter 1 true,$(TRAIN) $(CI)),$(comma)train$(comma)privacy)
EXTRAS := test$(MORE)
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
MUTANTS ?=
.PHONY: help demo test test-slow soak mutants lint bench gpu-check size clean

help:
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.run ## redact a short clip (or INPUT=my.mp4) into demo/out.mp4, .png, .report.json
	$(BIN)/python -m stream_anon.cli.demo $(if $(INPUT),"$(INPUT)")

test: $(VENV)/.$(EXTRAS) ## set up and run the test-suite (TRAIN=1: also what needs torch)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --cov --cov-report=term $(PYTEST)

test-slow: $(VENV)/.$(EXTRAS) ## also the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 1800 $(PYTEST)

soak: $(VENV)/.$(EXTRAS) ## live: four cameras for MINUTES=15, faults throughout
	$(BIN)/python -m tests.live.soak --minutes $(or $(MINUTES),15)

mutants: $(VENV)/.$(EXTRAS) ## break the program line by line: does a test notice? (MUTANTS=word)
	$(BIN)/python -m tests.mutation $(MUTANTS)

lint: $(VENV)/.dev$(MORE) ## ruff and mypy
	@$(BIN)/python -m ruff check; ruff=$$?; $(BIN)/python -m mypy && exit $$ruff

bench: $(VENV)/.run demo/in.mp4 ## speed against a bare transcode, on the demo clip or INPUT=my.mp4
	$(BIN)/stream-anon bench "$(or $(INPUT),demo/in.mp4)"

demo/in.mp4: $(VENV)/.run
	$(BIN)/python -m stream_anon.cli.demo --only-clip

gpu-check: $(VENV)/.gpu$(comma)test demo/in.mp4 ## on a machine with an NVIDIA GPU: tests, times, memory into docs/results
	$(BIN)/python -m stream_anon.evaluation.benchmarks.gpu --clip "$(or $(INPUT),demo/in.mp4)"

size: $(VENV)/.$(EXTRAS) ## what a user's CPU install weighs, tried in a fresh environment
	$(BIN)/python -m pytest -q -s -m slow tests/test_packaging.py --timeout 1800

clean: ## remove .venv, the demo's files and caches
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build dist

$(BIN)/python:
	@"$(or $(PYTHON),false)" -c '$(FIT)' || { echo "make: this needs Python 3.11 or later \
	with venv: apt install python3-venv, or make PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[$*]"
	@touch $@
