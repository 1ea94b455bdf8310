# The commands of this project; `make help` lists them.
CONFIG ?= configs/families.yaml
PYTHON ?= python3
KILLS ?= 200
ROUNDS ?= 20
VENV := .venv
RUN := $(VENV)/bin/python
export TFDS_DATA_DIR ?= $(CURDIR)/data/tfds
export TF_CPP_MIN_LOG_LEVEL ?= 3
# In recipes it is "$$CONFIG", whatever its folder is called.
export CONFIG
# Given on the command line, they are for the commands' environment.
export $(foreach name,IMAGE IMAGE_GPU IMAGE_TPU IMAGE_SERVING BASE REGISTRY KUBEFLOW_PROGRAMS,$(if $($(name)),$(name)))

.DEFAULT_GOAL := help
.PHONY: help setup data compile run-local run-containers verify report tensorboard submit images push scan test lint lock docs pictures bench torture kubeflow clean clean-runs

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  CONFIG=$$CONFIG is the experiment of compile, run-local, verify and submit"

setup: $(VENV)/.ready $(VENV)/bin/keras-pipeline  ## Make .venv with the locked packages, and .venv/bin/keras-pipeline

$(VENV)/bin/keras-pipeline: | $(VENV)/.ready
	@ln -sf ../../pipeline/keras-pipeline $@

$(VENV)/.ready: requirements-dev.lock requirements-tools.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"error: Python {v[0]}.{v[1]}, expected 3.11 to 3.13; name one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tools.lock
	$(VENV)/bin/uv pip sync --quiet --python $(RUN) --require-hashes --compile-bytecode requirements-dev.lock requirements-tools.lock
	@touch $@

data: setup  ## Get the data of the shipped experiments into data/tfds
	@$(RUN) -m pipeline data

compile: TARGET = vertex
compile: setup  ## Compile CONFIG into build/<experiment>.yaml; TARGET=kubeflow for Kubernetes' names
	@$(RUN) -m pipeline compile "$$CONFIG" --target $(TARGET) $(ARGS)

run-local: setup data  ## Run CONFIG on this machine, from nothing to runs/<experiment>/latest; ARGS="--set …"
	@$(RUN) -m pipeline run "$$CONFIG" $(ARGS)

run-containers: CONFIG = configs/quick.yaml
run-containers: setup data  ## Run CONFIG (here quick.yaml) with each task in a container of its image
	@$(RUN) -m pipeline run "$$CONFIG" --containers $(ARGS)

verify: setup data  ## Run CONFIG and hold its claims against what comes out; ARGS="--seeds 5", ARGS="--model mlp"
	@$(RUN) -m pipeline verify "$$CONFIG" $(ARGS)

report: setup  ## Open the report of CONFIG's last run
	@$(RUN) -m pipeline report "$$CONFIG"

tensorboard: setup  ## Serve the training logs of CONFIG's last run
	@name=$$(basename "$$CONFIG"); $(RUN) -m tensorboard.main --logdir "runs/$${name%.*}/latest/tensorboard"

submit: setup  ## Submit CONFIG to Vertex AI: IMAGE=…@sha256:… PROJECT=… REGION=… BUCKET=… [ARGS=--dry-run]
	@$(RUN) -m pipeline submit "$$CONFIG" $(if $(PROJECT),--project $(PROJECT)) $(if $(REGION),--region $(REGION)) $(if $(BUCKET),--bucket $(BUCKET)) $(ARGS)

images push scan: TARGET = cpu
images:  ## Build the image TARGET (cpu, gpu, tpu, serving) with docker, podman or buildah; BASE=local where no registry is
	@containers/build.sh $(TARGET)

push:  ## Push the image TARGET to REGISTRY and print its name with the digest
	@containers/push.sh $(TARGET)

scan:  ## List what the image TARGET holds: packages and licences as SBOM in build/, and what fills it
	@containers/scan.sh $(TARGET)

test: setup data  ## Run all tests, the slow ones too
	$(RUN) -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder --durations=40 --durations-min=5 -rs

lint: setup  ## Check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

LOCK = $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
lock: setup  ## Lock what pyproject.toml asks for; pinned versions stay: delete a lock file to move them
	$(LOCK) pyproject.toml --extra cpu --output-file requirements-cpu.lock
	$(LOCK) --group serving --constraint requirements-cpu.lock --output-file requirements-serving.lock
	$(LOCK) pyproject.toml --extra cpu --extra dev --extra docs --extra track --group serving --constraint requirements-cpu.lock --constraint requirements-serving.lock --output-file requirements-dev.lock
	cp requirements-cpu.lock requirements-gpu.lock  # so that it takes the same versions where it can
	$(LOCK) pyproject.toml --extra gpu --output-file requirements-gpu.lock
	cp requirements-cpu.lock requirements-tpu.lock
	$(LOCK) pyproject.toml --extra tpu --output-file requirements-tpu.lock
	$(LOCK) --group sbom --output-file requirements-sbom.lock
	$(LOCK) --group mlflow --output-file requirements-mlflow.lock

docs: setup  ## Build the documentation's site in build/site
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build
	@echo build/site/index.html

pictures: setup data  ## Make docs/pictures anew: runs quick.yaml and opens its report
	@$(RUN) docs/pictures/draw.py

bench: setup data  ## Measure where the time goes; ARGS=training, input, around, growth, time_to_accuracy, peers or serving
	@$(RUN) tests/benchmarks/bench.py $(ARGS)

torture: setup data  ## Kill trainings KILLS times, disturb whole runs in ROUNDS rounds, and compare what they end with
	@$(RUN) tests/benchmarks/torture_runs.py --rounds $(ROUNDS)
	@$(RUN) tests/benchmarks/torture.py --kills $(KILLS) $(ARGS)

kubeflow: setup data  ## Run tests on Kubeflow's own programs, which are in the folder KUBEFLOW_PROGRAMS; as root
	@tests/kubeflow/backend/run.sh $(ARGS)

clean:  ## Remove what was built; keeps .venv, data, and runs/ with the registry
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-runs:  ## Remove runs/ with the registry in it; asks first, but for FORCE=1
	@if [ -z "$(FORCE)" ] && [ -e runs ]; then \
	  [ -t 0 ] || { echo "error: runs/ holds the registry; FORCE=1 removes it without a question" >&2; exit 2; }; \
	  printf 'Remove runs/ with its registry, %s? [y/N] ' "$$(du -sh runs | cut -f1)"; read -r answer; \
	  [ "$$answer" = y ] || exit 1; \
	fi; rm -rf runs
