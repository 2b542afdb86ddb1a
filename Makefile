# The four commands of this project. Each makes the environment first if it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export HF_HUB_DISABLE_TELEMETRY = 1
# Bytecode is kept whatever the machine says: the tests start dozens of processes that import the same.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check lint bench audit clean

# Universal neurons of five small models, on the CPU: how many, the strongest in words, and pages of all.
demo: $(READY)
	$(BIN)/python experiments/run.py experiment=un_squared/universality
	$(BIN)/python experiments/run.py experiment=un_squared/neuron_table
	$(BIN)/python experiments/run.py experiment=un_squared/families
	$(BIN)/python experiments/report.py --neurons un_squared/neuron_table un_squared/families

# The whole test suite, offline, one process a core.
test: $(READY)
	$(BIN)/python -m pytest -q -n auto --dist loadscope --no-loadscope-reorder --durations=10

# What continuous integration runs: linters, types, rules between rooms, tests.
check: lint test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo --no-cache

# Every benchmark in its quick form.
bench: $(READY)
	for program in $$(grep -l "^from keep import.*conclude" benchmarks/*.py); do $(BIN)/python $$program --quick || exit 1; done

# Known vulnerabilities of the pinned versions, in an environment of its own; needs pypi.org.
audit:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet pip-audit
	$(VENV)-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-audit build dist .pytest_cache .ruff_cache .hypothesis
