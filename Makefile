# Everything runs from .venv, which `make setup` fills and every other target asks for.

VENV := .venv/bin
AIRFLOW_PORT ?= 8080

# Spark's workers must run the driver's Python, and talk to it by loopback whatever the host is called.
export PYSPARK_PYTHON := $(CURDIR)/$(VENV)/python
export SPARK_LOCAL_IP ?= 127.0.0.1

# torch comes apart from the lock (`make setup` picks its build), so its CUDA libraries do too.
NOT_LOCKED := torch triton cuda-bindings cuda-pathfinder cuda-toolkit \
    nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft \
    nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 \
    nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

# Two processes, each with a JVM of its own; tests of one file stay together, dear files come first.
PYTEST := $(VENV)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test fast-tests acceptance lint format lock airflow airflow-stop clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## prepare .venv: Java 17, torch, the packages of requirements.lock
	@python=$$(setup/find_python.sh) && "$$python" -m setup.prepare_venv

demo: setup ## one night of the real grocery year: from the logs to a household's shelf
	@$(VENV)/nightshelf demo

test: ## what a change can break: lint, types and import rules beside the fast tests
	@$(MAKE) --no-print-directory --jobs 2 lint fast-tests

fast-tests: setup
	$(PYTEST)

acceptance: setup ## real and random logs, days of Airflow, benchmarks' quick runs
	$(PYTEST) -m acceptance

lint: setup ## style, format, types, who imports whom
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy
	$(VENV)/lint-imports

format: setup ## rewrite the code in the project's format
	$(VENV)/ruff check --fix
	$(VENV)/ruff format

lock: setup ## choose the versions in requirements.lock anew, from pyproject.toml
	$(VENV)/python -m pip install --quiet uv
	$(VENV)/python -m uv pip compile --quiet --universal --python-version 3.11 --extra dev \
	    --override lock-overrides.txt $(NOT_LOCKED:%=--no-emit-package %) \
	    --custom-compile-command "make lock" pyproject.toml --output-file requirements.lock

airflow: setup ## a local Airflow: scheduler and UI on 127.0.0.1; Ctrl-C stops it
	@$(VENV)/python -m setup.local_airflow start --port $(AIRFLOW_PORT)

airflow-stop: ## stop the Airflow that `make airflow` started, from another terminal
	@$(VENV)/python -m setup.local_airflow stop

clean: ## remove .venv and all caches; the lake in .nightshelf stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
