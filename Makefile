# Oildrop: `make bench` measures this machine, `make test` checks the project. `make help` lists the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help .venv bench test lint perf clean

# Where torch comes from: empty asks the system (see torch_index below), `none` takes pip's own indexes,
# anything else is an index address, such as https://download.pytorch.org/whl/cu130
TORCH_INDEX ?=
PYTHON ?=
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

BIN := .venv/bin
PARTS := ci harness results rules site suite workloads
OILDROP := $(BIN)/oildrop
STORE := ./oildrop-store
PAGE := ./oildrop-page

help:  ## this list
	@awk -F ':.*## ' '/^[.a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

.venv: $(OILDROP)  ## build .venv with oildrop, torch, jax, mlx and the test tools (once)

# pip writes the executable before the last package is in place, so it is moved aside until all has succeeded.
$(OILDROP): pyproject.toml constraints.txt
	@$(find_python); $(torch_index); set -e; \
	rm -f $@; \
	test -x $(BIN)/python || "$$python" -m venv .venv; \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools; \
	echo "Installing oildrop, torch, jax, mlx and the test tools into .venv ..."; \
	$(BIN)/python -m pip install $$index --constraint constraints.txt --no-build-isolation --editable '.[torch,jax,mlx,tpu,test]'; \
	touch $@

bench: $(OILDROP)  ## run the default suite into ./oildrop-store and build the page ./oildrop-page
	@trap : INT; status=0; \
	$(OILDROP) run --suite default --store $(STORE) || status=$$?; \
	test $$status -ne 2 || exit 2; \
	$(OILDROP) site build --store $(STORE) --out $(PAGE) || exit $$?; \
	test $$status -eq 0 || echo "Some runs did not end well (oildrop run: exit $$status); they are kept and shown."; \
	$(BIN)/python -P -c 'import pathlib; print(pathlib.Path("$(PAGE)/index.html").resolve().as_uri())'; \
	exit $$status

test: lint  ## lint, then every test
	$(BIN)/python -P -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(OILDROP)  ## ruff, mypy and the import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .venv/typing/oildrop
	@for part in $(PARTS); do ln -sfn ../../../$$part .venv/typing/oildrop/$$part; done
	cd .venv/typing && ../bin/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p oildrop
	$(BIN)/lint-imports --no-logo

perf: $(OILDROP)  ## measure our own speed and print the table
	$(BIN)/python -P benchmarks/run_all.py

clean:  ## remove .venv, the page and caches; never a store
	rm -rf .venv $(PAGE) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(PARTS) tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

# The first interpreter that is new enough and can make environments.
define find_python
python=; \
for name in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
    if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
done; \
if test -z "$$python"; then \
    echo "No Python >= 3.11 with venv and pip among: $(or $(PYTHON),python3 python3.13 python3.12 python3.11)." >&2; \
    echo "Install one (Debian: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
    exit 1; \
fi
endef

# On Linux PyPI's torch carries CUDA (gigabytes). Without an NVIDIA driver the CPU index is added, if it answers within 5 s.
define torch_index
index=; \
case "$(TORCH_INDEX)" in \
    none) ;; \
    "") if test "$$(uname -s)" = Linux && ! test -e /proc/driver/nvidia/version && ! command -v nvidia-smi >/dev/null && \
           timeout 5 "$$python" -c 'import urllib.request; urllib.request.urlopen("$(TORCH_CPU_INDEX)/torch/", timeout=4)' 2>/dev/null; \
        then index="--extra-index-url $(TORCH_CPU_INDEX)"; fi ;; \
    *) index="--extra-index-url $(TORCH_INDEX)" ;; \
esac
endef
