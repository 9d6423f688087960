# make demo: set up, meet the shipped model, train a nano MoST on recorded digits, write runs/demo/report.html
#            make demo TRAIN=0 leaves the training out
# make test: set up, run the tests          make check: lint, types, spelling

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test check clean

demo: $(VENV)/.demo
	$(BIN)/most demo --out $(DEMO) $(if $(filter 0 no,$(TRAIN)),--no-train)

test: $(VENV)/.dev
	$(BIN)/pytest

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/codespell src tests docs recipes benchmarks README.md Makefile

$(VENV)/.demo: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "MoST needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[eval,report]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[codec,data,dialogue,eval,lora,ray,report,room,serve,speak,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs
