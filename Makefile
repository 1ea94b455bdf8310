# The commands of this project; `make help` lists them.
CONFIG ?= configs/families.yaml
PYTHON ?= python3
TARGET ?= vertex
VENV := .venv
RUN := $(VENV)/bin/python
export TFDS_DATA_DIR ?= $(CURDIR)/data/tfds
export TF_CPP_MIN_LOG_LEVEL ?= 3
ifdef IMAGE
export IMAGE
endif
ifdef BASE
export BASE
endif
ifdef REGISTRY
export REGISTRY
endif

.DEFAULT_GOAL := help
.PHONY: help setup data compile run-local report tensorboard submit images push test lint bench clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  CONFIG=$(CONFIG) is the experiment of compile, run-local and submit"

setup: $(VENV)/.ready  ## Make .venv with the locked packages

$(VENV)/.ready: requirements-dev.lock requirements-tools.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"error: Python {v[0]}.{v[1]}, expected 3.11 to 3.13; name one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tools.lock
	$(VENV)/bin/uv pip sync --quiet --python $(RUN) --require-hashes --compile-bytecode requirements-dev.lock requirements-tools.lock
	@touch $@

data: setup  ## Get the data of the shipped experiments into data/tfds
	@$(RUN) -m pipeline data

compile: setup  ## Compile CONFIG into build/<experiment>.yaml; TARGET=kubeflow for Kubernetes' names
	@$(RUN) -m pipeline compile $(CONFIG) --target $(TARGET)

run-local: setup data  ## Run CONFIG on this machine, from nothing to runs/<experiment>/latest
	@$(RUN) -m pipeline run $(CONFIG)

report: setup  ## Open the report of CONFIG's last run
	@$(RUN) -m pipeline report $(CONFIG)

tensorboard: setup  ## Serve the training logs of CONFIG's last run
	@$(VENV)/bin/tensorboard --logdir runs/$(basename $(notdir $(CONFIG)))/latest/tensorboard

submit: setup  ## Submit CONFIG to Vertex AI: IMAGE=…@sha256:… PROJECT=… REGION=… BUCKET=… [ARGS=--dry-run]
	@$(RUN) -m pipeline submit $(CONFIG) $(if $(PROJECT),--project $(PROJECT)) $(if $(REGION),--region $(REGION)) $(if $(BUCKET),--bucket $(BUCKET)) $(ARGS)

images:  ## Build the image NAME with docker, podman or buildah; BASE=local where no image registry is
	@containers/build.sh

push:  ## Push the image to REGISTRY and print the name with its digest, for IMAGE=…
	@containers/push.sh

test: setup data  ## Run all tests, the slow ones too
	$(RUN) -m pytest

lint: setup  ## Check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: setup data  ## Measure our training against the seminar's plain one
	@$(RUN) tests/benchmarks/training.py

clean:  ## Remove what was built and run; keeps .venv and data
	rm -rf build runs .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
