# Everything here sets up what it needs by itself; `make help` lists the targets.
# Needs Python 3.11, git and make. Options: ARGS="..." goes to the command, PYTHON=/path/to/python3.11.

.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell command -v python3.11 || command -v python3)
ifeq ($(strip $(PYTHON)),)
$(error Python 3.11 was not found on PATH: install python3.11, or run make PYTHON=/path/to/python3.11)
endif

BIN := .venv/bin
BENCH := .venv-bench/bin
SETUP := $(PYTHON) -m backdrop.bootstrap

# Libraries that would report their use to their makers are told not to.
export ORT_DISABLE_TELEMETRY := 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help setup setup-test setup-bench setup-diffusers setup-flink demo demo-runs experiment test test-flink check test-peers bench bench-generate soak chaos chaos-serve chaos-generate fmt lock doctor clean distclean

help: ## list every target
	@$(SETUP) help Makefile

setup: ## set up what the demo needs (.venv, Prism, segmentation weights)
	@$(SETUP) demo

setup-test: ## set up what the tests and the checks need (everything, torch included: about 7 GB)
	@$(SETUP) test

setup-bench: ## set up the libraries that the learner is measured against, in .venv-bench (builds one: needs gcc)
	@$(SETUP) bench

setup-diffusers: ## set up the demo and the diffusers backend (torch included)
	@$(SETUP) diffusers

setup-flink: ## fetch the Flink job server (needs Java and Maven; about 150 MB)
	@$(SETUP) flink

demo: setup ## run the whole system with simulated shoppers and show that it learns (ARGS="--seed 3 --keep")
	@$(BIN)/backdrop demo $(ARGS)

demo-runs: setup ## run the demo on ten seeds, about 40 minutes, and write docs/demo-runs.md (ARGS="--seeds 3")
	@$(BIN)/python -m demo.runs $(ARGS)

experiment: setup ## 100 products × 18 prompts and a report of what came of them, about 8 minutes (ARGS="--products 20")
	@$(BIN)/python -m demo.experiment $(ARGS)

test: setup-test ## run the whole test suite in two processes (ARGS="-k name -x", ARGS="-n 0 -s")
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-flink: setup-test setup-flink ## run the end-to-end tests of learner and generation on Flink (ARGS="-s")
	@$(BIN)/python -m pytest --runner flink tests/beam_pipelines/learn/test_learner_on_runner.py tests/beam_pipelines/generate/test_on_runner.py $(ARGS)

check: setup-test ## ruff, mypy --strict and the import rules; fails on any violation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-peers: setup-bench ## hold the learner to other libraries and public data sets (about 2 minutes)
	@$(BENCH)/python -m pytest benchmarks/peers $(ARGS)

bench: setup-test setup-bench ## measure, print figures against their targets, write docs/benchmarks.md (ARGS="suite ...")
	@$(BIN)/python -m benchmarks $(ARGS)

bench-generate: setup-test ## measure the generation job, its quality gate and its manifest, about 14 minutes (part of bench)
	@$(BIN)/python -m benchmarks generation gate manifest

soak: setup-test ## memory of the learner under ten minutes of traffic (ARGS=minutes)
	@BACKDROP_SOAK_MINUTES="$(ARGS)" $(BIN)/python -m benchmarks soak

chaos: setup-test ## kill learner, Prism and Redis under traffic, 20 rounds, write docs/reliability-learner.md (ARGS="--rounds 5")
	@$(BIN)/python -m tests.chaos $(ARGS)

chaos-serve: setup-test ## every fault on the server, then ten minutes of load with Redis restarting, write docs/reliability.md (ARGS="--minutes 2 --every 20")
	@$(BIN)/python -m tests.chaos_serve $(ARGS)

chaos-generate: setup-test ## kill the generation job at every kind of step, take its bucket away, 5 minutes, write docs/reliability-generate.md (ARGS="--rounds 10")
	@$(BIN)/python -m tests.chaos_generate $(ARGS)

fmt: setup-test ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## resolve the dependencies of setup.py again and write locks/ (ARGS=--upgrade for the newest)
	@$(SETUP) lock $(ARGS)

doctor: ## check this machine and say what is missing
	@$(PYTHON) -m backdrop.doctor

clean: ## remove the state that runs leave in .backdrop (tools and weights stay)
	@$(SETUP) clean

distclean: ## remove everything that make has set up: .venv, .backdrop and tool caches
	@$(SETUP) distclean
