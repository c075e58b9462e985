SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build image cli run test lint script fuzz bench screenshots clean

WASM := dist/curfew.wasm
CLI := dist/curfew
# Folders count too: their times change when a file goes.
SOURCES := go.mod go.sum $(shell find main.go cookie policy filter ! -name '*_test.go' ! -path '*/testdata*')
MODULES := $(patsubst %/go.mod,%,$(wildcard ./go.mod examples/*/go.mod bench/go.mod e2e/go.mod e2e/istio/go.mod e2e/envoygateway/go.mod scripts/image/go.mod))
OURS := -name .git -prune -o -name .tools -prune -o -name dist -prune -o -type f
FUZZTIME ?= 30s
# Tests get the path of each in CURFEW_, its name in capitals.
TEST_TOOLS := envoy clock python django django-source node curl chromium npm prometheus promtool jq zsh fish mandoc
MINIFY := policy/script/session.js --minify --target=es2020 --charset=ascii --log-level=warning

help: ## Show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: $(WASM) ## Build dist/curfew.wasm, the filter that Envoy loads

$(WASM): $(SOURCES) scripts/build-wasm scripts/snip scripts/toolchain scripts/wasip1.json
	@scripts/build-wasm $@

image: build ## Build the OCI image, its bill of materials (SPDX) and checksums in dist/
	@echo 'packing the image into dist/ (half a minute the first time)' >&2
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)}
	export SOURCE_DATE_EPOCH
	cd scripts/image && go run . ../.. ../../dist

cli: ## Build dist/curfew, the command-line tool: one static file
	@echo 'building $(CLI) (half a minute the first time)' >&2
	CGO_ENABLED=0 GOFLAGS='' go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o $(CLI) ./cmd/curfew

run: build ## Run Envoy, the filter and a small app on this machine
	@scripts/run

test: build ## Run all tests: Go, the built filter, real Envoys
	@CURFEW_WASM=$(abspath $(WASM))
	CURFEW_ENVOY_OLDEST=$$(scripts/toolchain envoy 1.36.4)
	export CURFEW_WASM CURFEW_ENVOY_OLDEST
	for tool in $(TEST_TOOLS); do
		path=$$(scripts/toolchain "$$tool")
		name=$${tool^^}
		export "CURFEW_$${name//-/_}=$$path"
	done
	go test ./...
	for module in examples/*/go.mod; do (cd "$$(dirname "$$module")" && go test ./...); done
	# -count=1: Go's test cache does not see a change of what Envoy loads.
	(cd scripts/image && go test -count=1 ./...)
	(cd e2e && go test -count=1 -timeout 20m ./...)
	echo "test: deploy/ in Istio's and Envoy Gateway's own code; the first build takes minutes" >&2
	(cd e2e/istio && go test -count=1 ./...)
	(cd e2e/envoygateway && go test -count=1 ./...)

lint: ## Check Go, Bash and the browser script: gofmt, go vet, staticcheck, shellcheck, tsc
	@staticcheck=$$(scripts/toolchain staticcheck)
	shellcheck=$$(scripts/toolchain shellcheck)
	find . $(OURS) -name '*.go' -exec gofmt -l {} + | { ! grep .; } || { echo 'gofmt -w these files' >&2; exit 1; }
	for module in $(MODULES); do (cd "$$module" && go vet ./... && "$$staticcheck" ./...); done
	find . $(OURS) -exec awk 'FNR == 1 && /^#!.*bash/ {print FILENAME} {nextfile}' {} + | xargs -d '\n' "$$shellcheck"
	npm=$$(scripts/toolchain npm)/node_modules/.bin
	"$$npm/esbuild" $(MINIFY) | cmp - policy/script/session.min.js || { echo 'session.min.js is not what session.js builds to; run: make script' >&2; exit 1; }
	"$$npm/tsc" --strict --noEmit --types '' --lib es2022,dom policy/script/session.test-d.ts

script: ## Build policy/script/session.min.js, which the filter serves, from session.js
	@npm=$$(scripts/toolchain npm)/node_modules/.bin
	"$$npm/esbuild" $(MINIFY) --outfile=policy/script/session.min.js

fuzz: ## Run every fuzz test for FUZZTIME (default 30s) each
	@scripts/fuzz $(FUZZTIME)

bench: build ## Measure what the filter costs a request, and how that grows
	@bench/run

screenshots: build ## Take the pictures of the docs anew
	@CURFEW_WASM=$(abspath $(WASM))
	CURFEW_ENVOY=$$(scripts/toolchain envoy)
	CURFEW_CLOCK=$$(scripts/toolchain clock)
	CURFEW_CHROMIUM=$$(scripts/toolchain chromium)
	CURFEW_SCREENSHOTS=$(abspath docs/screenshots)
	export CURFEW_WASM CURFEW_ENVOY CURFEW_CLOCK CURFEW_CHROMIUM CURFEW_SCREENSHOTS
	mkdir -p "$$CURFEW_SCREENSHOTS"
	cd e2e && go test -count=1 -v -run '^TestBrowser$$/^screenshots$$' .

clean: ## Remove what was built (dist/); the tools (.tools/) stay
	rm -rf dist
.ONESHELL:
