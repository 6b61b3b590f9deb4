# Weft: every target works from a fresh clone; the first one that needs packages installs them.
NODE := node_modules/node/bin/node
BIN := node_modules/.bin
export NODE_COMPILE_CACHE ?= $(CURDIR)/node_modules/.cache/weft
.DEFAULT_GOAL := help

.PHONY: help install demo check format lint types tidy test unit e2e e2e-compose e2e-pod fuzz image proto manifests

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
