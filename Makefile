# make help lists what is here. Everything works on a fresh Debian or Ubuntu
# with nothing but Go: what is missing is installed first (scripts/install-deps).

GO      ?= go
# Time for each fuzz target and for fuzz-masks, packages to test, and how many test binaries
# run at once: the servers that they start share the machine.
FUZZ    ?= 20s
FUZZ_MASKS ?= 30m
PKG     ?= ./...
JOBS    ?= 2

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: deps-build ## build bin/sluice
	$(GO) build -o bin/sluice ./cmd/sluice

.PHONY: demo
demo: build deps-demo ## a gateway, a PostgreSQL with sample data, commands to try; Ctrl+C ends it
	@exec $(GO) run ./demo

.PHONY: test
test: build deps-test ## every test, against real servers too; the last line counts them
	@scripts/test -p $(JOBS) $(PKG)

.PHONY: race
race: build deps-test ## every test under the race detector
	@scripts/test -race -p $(JOBS) $(PKG)

.PHONY: bench
bench: build ## Sluice beside a direct connection, a TCP relay and PgBouncer, and its own costs; quick: ARGS=-short
	@scripts/install-deps build demo bench
	GO="$(GO)" $(GO) run ./bench $(ARGS)

.PHONY: test-suites
test-suites: build ## PostgreSQL's, libpq's and pgx's own tests through the gateway
	@scripts/install-deps build demo suites
	$(GO) run ./suites $(ARGS)

.PHONY: soak
soak: build deps-test ## kill -9 under load, a hundred times
	SLUICE_KILLS=100 $(GO) test -count=1 -timeout 2h -v ./e2e/crash

.PHONY: fuzz
fuzz: deps-build ## every fuzz target for FUZZ=20s each
	@scripts/fuzz $(FUZZ)

.PHONY: fuzz-masks
fuzz-masks: build deps-test ## random statements under random masks for FUZZ_MASKS=30m: nothing masked may come out
	SLUICE_FUZZ=$(FUZZ_MASKS) $(GO) test -count=1 -timeout 24h -v ./e2e/evasion -run TestRandomStatements

.PHONY: lint
lint: deps-build ## gofmt, go vet, and staticcheck where it can be fetched
	@scripts/lint

.PHONY: install-deps
install-deps: ## install what build, demo and tests need
	@scripts/install-deps build test

.PHONY: deps-build deps-demo deps-test
deps-build:
	@scripts/install-deps build
deps-demo:
	@scripts/install-deps build demo
deps-test:
	@scripts/install-deps build test

.PHONY: clean
clean: ## remove what was built, and the demo's data
	rm -rf bin demo-data
