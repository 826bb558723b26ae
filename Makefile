# Verbs a newcomer guesses. `make demo` and `make test` work on a fresh machine with Python 3.11+, pip and make.
PY   ?= python3
VENV := .venv
BIN  := $(VENV)/bin
UV   := .boot/bin/uv
PIP_BOOT := -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes
export UV_PYTHON_DOWNLOADS := never
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check format lint types imports docs bench accuracy calibrate leading lock clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.boot/bin/uv: requirements/uv.txt
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "entrepot needs Python 3.11 or newer; set PY=python3.11"; exit 1; }
	$(PY) -m venv .boot
	.boot/bin/python $(PIP_BOOT) -r $<
	@touch $@

# Two stamps: the demo needs only what users run; the tests need the tools as well.
$(VENV)/.run-stamp: $(UV) requirements/run.txt pyproject.toml
	$(UV) venv --quiet --allow-existing --python $(PY) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --only-binary :all: -r requirements/run.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-stamp: $(UV) requirements/dev.txt pyproject.toml
	$(UV) venv --quiet --allow-existing --python $(PY) $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --only-binary :all: requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run-stamp

setup: $(VENV)/.run-stamp  ## install what users run, from the lock
setup-dev: $(VENV)/.dev-stamp  ## the same plus the developers' tools

demo: setup  ## run the spring-2025 scenario and write report.html
	@$(BIN)/entrepot report examples/spring-2025

test: setup-dev  ## run the tests
	$(BIN)/python -m pytest -q

format: setup-dev  ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup-dev
	$(BIN)/mypy

imports: setup-dev
	$(BIN)/lint-imports

docs: setup-dev  ## build the documentation into site/ and check its links and examples
	$(BIN)/python tools/check_docs.py
	$(BIN)/zensical build --clean

# The tests run last: their closing line is the last line that CI reads.
check: setup-dev lint types imports docs  ## format, lint, types, import order, docs, tests
	$(BIN)/python -m pytest -q

bench: setup-dev  ## print speed as ratios against named alternatives in the same run
	$(BIN)/python -m bench

accuracy: setup  ## refit without each curve, chip, model and source; print the errors on what was held out (7 minutes)
	$(BIN)/entrepot performance accuracy --by all,chip,source
	@for by in curve chip model source; do echo "left out: each $$by"; \
	$(BIN)/entrepot performance accuracy --held-out $$by --by all,chip,model,engine,kind,regime || exit 1; done

# The serving table is read inside the wheel, in an environment of its own; nothing of it is copied. SILICON= fits without.
AIC := .aic/bin/python
SILICON ?= .aic/silicon_sample.path
.aic/silicon_sample.path: $(UV)
	$(UV) venv --quiet --allow-existing --python $(PY) .aic
	$(UV) pip install --quiet --python $(AIC) --no-deps --only-binary :all: aiconfigurator-core==0.12.0
	@$(AIC) -c 'import importlib.util as u, pathlib as p; print(p.Path(u.find_spec("aiconfigurator_core").origin).parent / "systems" / "silicon_sample.csv")' > $@
calibrate: setup $(SILICON)  ## fit the performance model again and write its data files (4 minutes)
	$(BIN)/python -m entrepot.performance.calibration $(if $(SILICON),--silicon "$$(cat $(SILICON))")

# Beside the leading open tool, in an environment of its own; never a dependency.
leading: setup-dev $(UV)  ## install aiconfigurator beside, and print its speed and errors beside ours (6 minutes)
	$(UV) venv --quiet --allow-existing --python $(PY) .aic/leading
	$(UV) pip install --quiet --python .aic/leading/bin/python --only-binary :all: aiconfigurator==0.12.0
	$(BIN)/python -m bench leading

LOCK := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate
lock: $(UV)  ## resolve the dependencies again and pin them
	$(UV) $(LOCK) --group build pyproject.toml -o requirements/run.txt
	$(UV) $(LOCK) --extra pdf --extra postgres --group dev --group build pyproject.toml -o requirements/dev.txt
	$(UV) $(LOCK) requirements/uv.in -o requirements/uv.txt
	@! grep -nE '(https?|file)://|--(extra-)?index|--find-links' requirements/*.txt

clean:  ## remove what make made
	rm -rf $(VENV) .aic .boot site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache report.html
