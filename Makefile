# Everything from a fresh clone, with git, make and Python 3.10+ with pip. uv is used where it is installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=
SEEDS ?= 2000
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.PHONY: run test check format bench simulate soak compose clean help

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(INSTALLED) ## Open the dashboard on an embedded cluster (ARGS="--data-dir DIR" for another one)
	@$(BIN)/python main.py $(ARGS)

test: check ## Lint, types, import contracts, all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the sources and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## Measure transfers, latencies and start-up beside their limits
	$(BIN)/python benchmarks/run.py $(ARGS)

simulate: $(INSTALLED) ## Run whole clusters in virtual time under random faults (SEEDS=20000)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

soak: $(INSTALLED) ## Clients under random faults, then a reckoning (ARGS="--minutes 60"; SEEDS=500: in the simulation)
	$(if $(filter command line,$(origin SEEDS)),$(BIN)/python -m tests.simulation --seeds $(SEEDS),$(BIN)/python benchmarks/soak.py) $(ARGS)

compose: ## Start a cluster of containers, or run another command of Docker Compose on it (ARGS="run --rm tui")
	$(COMPOSE) $(or $(ARGS),up --detach --build)

clean: ## Remove the environment and caches; data is not touched
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@touch $@
