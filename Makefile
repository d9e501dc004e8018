# Everything happens in .venv beside this file; nothing has to be there but Python 3.11 or later, make and git.
# Another Python: PYTHON=python3.12 make demo
.POSIX:
.SUFFIXES:
.PHONY: help install demo up down test check bench faults lock clean

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
SOURCES = airflow_asr dags demo benchmarks tests

help: ## Show what can be made (this).
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18

install: $(VENV)/.demo-is-installed ## Install what the demo needs into .venv.

demo: $(VENV)/.demo-is-installed ## Transcribe the sample recordings with Airflow, from start to end.
	@$(BIN)/python -m demo demo

up: $(VENV)/.demo-is-installed ## Start Airflow and the local speech service, and leave them running.
	@$(BIN)/python -m demo up

down: ## Stop what `make up` started.
	@if [ -x $(BIN)/python ] && [ -d .demo ]; then $(BIN)/python -m demo down; else echo 'Nothing is running.'; fi

test: check ## Check the code, then run all tests.
	@$(CHECK_BROWSER)
	@$(BIN)/python -m tests

check: $(VENV)/.dev-is-installed ## Check style and types.
	@echo 'Checking style and types ...'
	@$(BIN)/ruff check -q
	@$(BIN)/ruff format -q --check
	@$(BIN)/mypy --strict $(SOURCES)

faults: $(VENV)/.dev-is-installed ## Kill what can be killed, and count what it costs: half an hour.
	@$(BIN)/python -m tests.faults

bench: $(VENV)/.dev-is-installed ## Measure what the README says, on this machine.
	@for script in $$(grep -l __main__ benchmarks/*.py); do \
	    name=$$(basename "$$script" .py); \
	    echo "== $$name"; \
	    $(BIN)/python -m "benchmarks.$$name" || exit 1; \
	done

# Keeps the versions in the locks where they still fit; UPGRADE=--upgrade takes the newest of all.
UPGRADE =
COMPILE = uv pip compile -q --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-header $(UPGRADE) --extra local --extra examples

lock: ## Compile both locks in requirements/ again.
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && trap 'exit 1' HUP INT TERM && \
	$(PYTHON) -m venv "$$tools" && \
	"$$tools/bin/python" -m pip --disable-pip-version-check --no-input -qq install uv && \
	PATH="$$tools/bin:$$PATH" && \
	echo 'Compiling requirements/dev.txt ...' && \
	$(COMPILE) --group dev pyproject.toml requirements/build.in -o requirements/dev.txt && \
	echo 'Compiling requirements/demo.txt ...' && \
	$(COMPILE) -c requirements/dev.txt pyproject.toml requirements/build.in -o requirements/demo.txt

clean: down ## Remove what was made: .venv, the demo's data and all caches.
	@rm -rf $(VENV) .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

# The stamps. Each is the last thing that its recipe makes, so an interrupted installation is done again.

$(VENV)/.demo-is-installed: requirements/demo.txt pyproject.toml
	@$(MAKE_VENV)
	@echo 'Installing what the demo needs into $(VENV): about 900 MB, a minute or more ...'
	@rm -f $@
	@$(PIP) install --require-hashes -r requirements/demo.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-is-installed: requirements/dev.txt requirements/demo.txt pyproject.toml
	@$(MAKE_VENV)
	@echo 'Installing what development needs into $(VENV): about 1.3 GB, two minutes or more ...'
	@rm -f $@
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(VENV)/.demo-is-installed $@  # Its packages are among these, in the same versions.

# The report is tested in a browser. On a machine that has none, and where none can be installed, those tests are skipped.
CHECK_BROWSER = \
    if ! $(BIN)/python -c 'import sys; from demo.browser import find_chromium; sys.exit(not find_chromium())'; then \
        if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
            echo 'Installing Chromium, for the tests of the report ...'; \
            export DEBIAN_FRONTEND=noninteractive; \
            install='apt-get install -y -qq --no-install-recommends chromium'; \
            $$install >/dev/null 2>&1 || { apt-get update -qq && $$install >/dev/null; }; \
        else \
            echo 'There is no Chromium: the tests of the report in a browser are skipped.'; \
        fi; \
    fi

# An environment whose Python is gone, or that was interrupted before it had pip, is made again.
MAKE_VENV = \
    if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
        $(CHECK_VERSION) && $(CHECK_VENV) && echo 'Making $(VENV) ...' && $(PYTHON) -m venv --clear $(VENV); \
    fi

CHECK_VERSION = \
    { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
        echo 'This needs Python 3.11 or later, and $(PYTHON) is not that. Name another: PYTHON=python3.12 make ...' >&2; \
        exit 1; \
    }; }

# Debian's Python comes without what makes an environment.
CHECK_VENV = \
    { $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
        install="apt-get install -y $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
        if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "$$install" >&2; exit 1; fi; \
        echo "Python cannot make environments yet: $$install"; \
        export DEBIAN_FRONTEND=noninteractive; \
        $$install -qq >/dev/null || { apt-get update -qq && $$install -qq >/dev/null; }; \
    }; }
