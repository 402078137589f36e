# Everything runs in .venv, which `make install` creates from a plain Python 3.11; nothing else on the machine changes.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
# pip's many lines as a row of dots; its errors still show.
DOTS := awk '/^(Collecting|Downloading|Installing)/ { printf "."; fflush() } END { print "" }'
# The same for Go, which prints one package a line; what is more than a name is shown.
GO_DOTS := awk '/^[^ ]+$$/ { if (++n % 20 == 0) { printf "."; fflush() }; next } { print } END { print "" }'
# The versions that everything was tested with; `make lock` renews them.
LOCK := requirements.lock
MINIO_MODULE := $(shell sed -n 's/^MODULE = "\(.*\)"$$/\1/p' tests/support/minio.py)
MINIO_FOLDER := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lakehouse/bin
PYTEST := $(BIN)/python -m pytest
TESTS ?= tests

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(VENV)/installed ## Make .venv, so that .venv/bin/lakehouse works

.PHONY: demo
demo: install ## See real data go in and come out through every client (about a minute)
	@$(BIN)/lakehouse demo

.PHONY: test
test: lint pytest ## Everything that CI checks: format, lint, types, all tests

.PHONY: lint
lint: $(VENV)/installed-dev ## Format, lint and types only
	@echo "== format"
	@$(BIN)/ruff format --check .
	@echo "== lint"
	@$(BIN)/ruff check .
	@echo "== types"
	@$(BIN)/mypy

.PHONY: format
format: $(VENV)/installed-dev ## Format the code and fix what the linter can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: pytest
pytest: $(VENV)/installed-dev minio ## All tests, without format, lint and types (TESTS=PATH for some)
	@echo "== tests"
	@$(PYTEST) -n auto $(TESTS)

.PHONY: minio
minio: ## Build the MinIO server that the tests use, if it is missing and Go is there
	@if command -v minio >/dev/null || [ -x "$(MINIO_FOLDER)/minio" ] || [ -n "$${LAKEHOUSE_TEST_S3:-}" ]; then \
	    echo "== MinIO is there"; \
	elif command -v go >/dev/null; then \
	    echo "== building MinIO into $(MINIO_FOLDER): once, about four minutes"; \
	    mkdir -p "$(MINIO_FOLDER)" && GOBIN="$(MINIO_FOLDER)" go install -v $(MINIO_MODULE) 2>&1 | $(GO_DOTS); \
	else \
	    echo "== no MinIO and no Go to build it with: the tests that need a real MinIO will be skipped"; \
	fi

.PHONY: bench
bench: $(VENV)/installed-dev minio ## Measure speed against bare pyarrow and DuckDB; writes docs/benchmarks.md (FULL=1: 10 GB through memory)
	@$(BIN)/python -m benchmarks $(if $(FULL),--full)

.PHONY: docs
docs: install ## Write the pages that are made from the settings: lakehouse.toml, docs/configuration.md
	@$(BIN)/python -m lakehouse.settings_pages

.PHONY: lock
lock: ## Renew requirements.lock with today's versions
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/pip install --quiet --upgrade pip
	@build/lock/bin/pip install --quiet --editable '.[demo]' --group dev
	@build/lock/bin/pip freeze --all --exclude-editable | grep -v '^setuptools==' > $(LOCK)
	@rm -rf build/lock && echo "wrote $(LOCK)"

.PHONY: clean
clean: ## Remove .venv and everything that was made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made: $(LOCK)
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 on PATH; say where it is: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint $(LOCK) --upgrade pip
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml
	@echo "== installing the server and its clients into $(VENV)"
	@$(PIP) install --progress-bar off --constraint $(LOCK) --editable '.[demo]' | $(DOTS)
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "== installing what the tests need into $(VENV)"
	@$(PIP) install --progress-bar off --constraint $(LOCK) --group dev | $(DOTS)
	@touch $@
