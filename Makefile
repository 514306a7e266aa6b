# The same commands for people and CI. `make up` and `make test` need Python 3.11 and make, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Nothing is signed by it: the checks read settings, and a key would be written to disk otherwise.
CHECK_ENV := SENTINEL_TRUSTED_ORIGINS=https://sentinel.example.org \
  SENTINEL_SECRET_KEY=a-key-for-make-check-alone-4f1c8a6be2d94750b3-7d20e95c \
  SENTINEL_ENCRYPTION_KEYS=bm90aGluZy1pcy1lbmNyeXB0ZWQtYnktdGhpcy1rZXk=
.DEFAULT_GOAL := help

.PHONY: help install up test check bench bench-scale bench-api bench-history chaos fuzz compose-test openapi lock

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

install: .venv/.installed ## make the environment from the hash-locked requirements

.venv/.installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo "Sentinel needs Python 3.11: install it, or name it with 'make PYTHON=/path/to/python3.11'."; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "Python's venv module is missing: on Debian, 'apt-get install python3.11-venv'."; exit 1; }
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

up: install ## run the whole cluster on this machine until Ctrl-C
	@exec $(BIN)/sentinel up

test: install ## run the whole test suite, with its own servers
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: install ## format, lint, types, import contracts, migrations, deploy settings, the OpenAPI document
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(CHECK_ENV) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(CHECK_ENV) $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python -m tests.openapi lint

bench: install ## measure what a check costs, beside others that are installed; BENCH="--help" says more
	$(BIN)/python -m tests.benchmarks $(BENCH)

bench-scale: install ## run the whole cluster at 1,000 to 100,000 domains, a quarter of an hour; SCALE="--help" says more
	$(BIN)/python -m tests.benchmarks.scale $(SCALE)

bench-history: install ## measure what reading costs with 100,000,000 results stored; HISTORY="--help" says more
	$(BIN)/python -m tests.benchmarks.history $(HISTORY)

bench-api: install ## put load on the API while 10,000 domains are checked; API="--help" says more
	$(BIN)/python -m tests.benchmarks.api $(API)

chaos: install ## break a running cluster in every way, and print which promises held; CHAOS="--help" says more
	$(BIN)/python -m tests.chaos $(CHAOS)

fuzz: install ## send the API 10,000 requests made from its own schema; FUZZ="--help" says more
	$(BIN)/python -m tests.fuzz $(FUZZ)

compose-test: install ## bring the containers up for real, in a Docker engine of the test's own if none runs
	$(BIN)/python -m pytest -c tests/compose/pytest.ini tests/compose

openapi: install ## write tests/project/openapi.json anew from the routes
	$(CHECK_ENV) $(BIN)/python -m tests.openapi write

lock: install ## write the hash-locked requirements anew from pyproject.toml
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --no-emit-find-links --no-header --generate-hashes pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --no-emit-find-links --no-header --generate-hashes pyproject.toml --extra dev -o requirements-dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-header --generate-hashes tests/openapi/requirements.in -o tests/openapi/requirements.txt
	cd tests/openapi && PATH="$(CURDIR)/$(BIN):$$PATH" npm install --package-lock-only --loglevel=error
