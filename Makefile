# Everything a developer or a first-time user runs. `make help` explains itself.
SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python
# The newest interpreter that is new enough; PYTHON=/path overrides.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 /usr/bin/python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
# The version is part of the result: a test builds the objects again with the same one and compares.
CLANG ?= clang-14
LLVM_STRIP ?= llvm-strip-14
BPF_OUT ?= .
BPF_FLAGS := -g -O2 -target bpfel -mcpu=v3 -Wall -Werror -Wno-unused-function -fdebug-compilation-dir=. -isystem /usr/include
# Scenarios mostly wait: one process runs them, another all else (tests/conftest.py). With ARGS one runs what is asked.
SIDE_BY_SIDE := -n 2
IMAGE ?= var/image
PIP_FLAGS := -qq --disable-pip-version-check --require-hashes

.PHONY: fuzz package package-test help run drill test matrix matrix-page bench power-cuts lint docs man reference bpf lock clean check-python container kills floods chaos pages prove
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

check-python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with venv found. On Debian or Ubuntu: apt-get install python3-venv"; exit 2; }

$(VENV)/.run: requirements/run.lock pyproject.toml | check-python
	@echo "Setting up $(VENV) with $(PYTHON) (once; a minute or two) …"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install $(PIP_FLAGS) -r requirements/run.lock
	@echo '$(CURDIR)' > "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/replguard-here.pth"
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	@echo "Adding the test tools to $(VENV) …"
	@$(PY) -m pip install $(PIP_FLAGS) -r requirements/dev.lock
	@touch $@

run: $(VENV)/.run ## set everything up and run the daemon here, state and logs under ./var
	@$(PY) -m replguard run -c docs/examples/here.yaml

drill: $(VENV)/.run ## harmless replication on dummy weights: what fires, and how fast
	@$(PY) -m replguard drill --all

test: $(VENV)/.dev ## set everything up and run every test
	@$(PY) -m pytest $(or $(ARGS),$(SIDE_BY_SIDE))

matrix: $(VENV)/.dev ## play every technique and all ordinary work in both tiers, note what is missed, write the page (root)
	@PYTHONPATH=tests $(PY) -m support.matrix
	@PYTHONPATH=tests $(PY) -m support.matrix portable
	@PYTHONPATH=tests $(PY) -m support.matrix day
	@$(MAKE) --no-print-directory matrix-page

matrix-page: $(VENV)/.dev ## write the page of the matrix anew from its rows and gaps
	@PYTHONPATH=tests $(PY) -m support.matrix.page

bench: $(VENV)/.run ## measure loss, cost, overhead, latency and memory (root; ARGS="--short cost" for some)
	@PYTHONPATH=tests $(PY) -m bench $(ARGS)

power-cuts: $(VENV)/.dev ## cut the power of three filesystems fifty times under a log, say what was lost (root)
	@POWER_CUTS=50 $(PY) -m pytest -q -s --timeout=0 tests/log/test_power_cut.py
	@POWER_CUTS=50 POWER_SYNC=5 $(PY) -m pytest -q -s --timeout=0 tests/log/test_power_cut.py

container: $(VENV)/.dev ## build a root as the Containerfile says and watch this host from a container of it (root; debootstrap)
	@PYTHONPATH=tests $(PY) -m support.image $(IMAGE)
	@REPLGUARD_IMAGE=$(abspath $(IMAGE)) $(PY) -m pytest -q --timeout=0 tests/scenarios/test_container.py
kills: $(VENV)/.dev ## kill the daemon at each moment of a replication, see that it is told all the same (root, 5 minutes)
	@KILLS=each $(PY) -m pytest -q tests/scenarios/test_killed.py

pages: $(VENV)/.dev ## do all that the pages of the first hour and of tuning show, see that it says what they show (root, a minute)
	@PAGES=whole $(PY) -m pytest -q --timeout=0 tests/scenarios/test_first_hour.py

fuzz: $(VENV)/.dev ## feed every parser of hostile bytes for ten CPU minutes, write the page (ARGS="--seconds 60 log" for less)
	@$(MAKE) --no-print-directory var/fuzz/venv/.done || echo "make: atheris cannot be had here: inputs are bred without it"
	@PYTHONPATH=.:tests $$(test -e var/fuzz/venv/.done && echo var/fuzz/venv/bin/python || echo $(PY)) -m fuzz $(ARGS)

# An environment of its own: atheris is no dependency of the product, nor of what its tests need.
var/fuzz/venv/.done: requirements/fuzz.lock | check-python
	@$(PYTHON) -m venv var/fuzz/venv
	@var/fuzz/venv/bin/python -m pip install $(PIP_FLAGS) -r requirements/fuzz.lock
	@touch $@

prove: $(VENV)/.dev ## play the published attacks against real model servers, keep what came of it, write the page (root, hours)
	@PYTHONPATH=tests $(PY) -m proof $(ARGS)

floods: $(VENV)/.dev ## flood the host as an ordinary user in full, see whether another is still told of (root)
	@PYTHONPATH=tests $(PY) -m floods $(ARGS)

chaos: $(VENV)/.dev ## let something go wrong five hundred times under an attack, write the page (root, hours; ARGS="3 'disk full'")
	@PYTHONPATH=tests $(PY) -m chaos $(ARGS)

lint: $(VENV)/.dev ## format, lint, types, layers, sizes, mirrored tests, shipped rules
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) tools/house.py

docs: $(VENV)/.dev ## build the documentation, warnings are errors
	@$(VENV)/bin/sphinx-build -q -W --keep-going -b html docs docs/_build/html

man: $(VENV)/.dev ## build the manual pages, below docs/_build/man
	@$(VENV)/bin/sphinx-build -q -W --keep-going -b man -d docs/_build/doctrees docs docs/_build/man

reference: $(VENV)/.dev ## write the reference pages anew from the code
	@$(PY) tools/reference.py
	@$(PY) tools/sentences.py
	@$(PY) tools/picture.py

bpf: ## build the eBPF objects anew from their C sources (needs clang, llvm and libbpf-dev)
	@cd replguard/kernel/bpf && for source in *.bpf.c; do \
		$(CLANG) $(BPF_FLAGS) -c $$source -o $(BPF_OUT)/$${source%.c}.o \
		&& $(LLVM_STRIP) -g $(BPF_OUT)/$${source%.c}.o || exit 1; done

package: dist/package/venv/.done ## build dist/replguard-VERSION-linux-x86_64.tar.gz, with an interpreter of its own (on Debian 12)
	@dist/package/venv/bin/python tools/package.py

dist/package/venv/.done: requirements/package.lock | check-python
	@$(PYTHON) -m venv dist/package/venv
	@dist/package/venv/bin/python -m pip install $(PIP_FLAGS) -r requirements/package.lock
	@touch $@

package-test: package $(VENV)/.dev ## try that archive on clean roots of Debian 11, 12 and 13, kept below dist/package (root, debootstrap)
	@PACKAGE_ROOTS=dist/package/roots $(PY) -m pytest -q --timeout=0 tests/house/test_package.py

lock: ## write the lock files anew (needs uv on PATH, and for prove-torch.lock PyTorch's CPU build where UV_FIND_LINKS says)
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml -o requirements/run.lock
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml --group dev -c requirements/run.lock -o requirements/dev.lock
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml --group fuzz -c requirements/dev.lock -o requirements/fuzz.lock
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --group package -c requirements/dev.lock -o requirements/package.lock
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --group build -c requirements/dev.lock -o requirements/build.lock
	@for name in llama onnx page sigma tools torch; do \
		uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --group prove-$$name -o requirements/prove-$$name.lock || exit 1; done

clean: ## remove what make made
	rm -rf $(VENV) var docs/_build
