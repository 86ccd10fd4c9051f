# Everything here works on a machine that has only Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := experiment=demo

.DEFAULT_GOAL := help
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
TESTS := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help install demo smoke test test-ci test-slow bench check docs format wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY) ## the virtual environment, with the versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; PYTHON=/path/to/python3.11 make …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[dashboard,dev,docs,joblib,runtime,serve,slurm]' -c constraints.txt
	@touch $@

demo: install ## from nothing to a results page, on the simulated factory
	@echo "four steps, 2 to 3 minutes in all on two cores with nothing beside, 6 on busy ones (docs/log.md):"
	@echo "1 train: simulated sound, then a network, 60 steps                       half of the time"
	@echo "2 fine-tune: 20 steps on the three clips of the target domain            a tenth"
	@echo "3 evaluate: embed and score 309 clips, before and after the fine-tuning  a third"
	@echo "4 report: the page                                                       less than a tenth"
	$(BIN)/python train.py $(DEMO)
	$(BIN)/python finetune.py $(DEMO) trainer.max_steps=20 freeze=until_last_block
	$(BIN)/python evaluate.py name=demo scorer.stride=32 logmel_neighbour=true
	$(BIN)/asd report outputs/demo
	@echo; echo "Open outputs/demo/report/index.html   runs and scores: outputs/demo/   sound: data/demo/"

smoke: install ## every backbone × input × freeze strategy in a few steps, in one process
	$(BIN)/python -m pytest -q tests/cli/test_smoke.py::test_all_combinations -m slow

test: install ## the tests, in parallel: about three minutes on two cores
	$(TESTS)

test-ci: install ## the slow tests that every CI run includes
	$(TESTS) -m 'slow and ci'

test-slow: install ## every test there is
	$(TESTS) -m 'slow or not slow'

bench: install ## the benchmarks, about twenty minutes
	@mkdir -p outputs
	for what in data-path ceiling step evaluation growth grid; do \
	  $(BIN)/python -m benchmarks $$what --json outputs/bench-$$what.json || exit 1; done

check: install ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install ## the site, build/site/index.html: without network, its links strict
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -q

format: install ## mends what lint and format can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: install ## the package as one file, dist/asd-….whl, which works without this checkout
	$(BIN)/python -m pip wheel --disable-pip-version-check -q --no-deps --no-build-isolation . -w dist

clean: ## removes caches and the virtual environment; data and outputs stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info
