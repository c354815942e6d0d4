# make help lists what is here. Everything works on a fresh Debian or Ubuntu
# with nothing but Go: what is missing is installed first (scripts/install-deps).

GO      ?= go
# Time for each fuzz target and for fuzz-masks, packages to test, and how many test binaries
# run at once: the servers that they start share the machine.
FUZZ    ?= 20s
FUZZ_MASKS ?= 30m
PKG     ?= ./...
JOBS    ?= 2

# Go does several things at once; here the order counts: what is missing is
# installed before minutes of compiling, in one go, as it may ask for a password.
.NOTPARALLEL:
export GO

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: deps-build ## build bin/sluice
	@[ -x bin/sluice ] || echo 'Building. The first time takes one to five minutes: it compiles the libraries and the grammar of PostgreSQL.'
	$(GO) build -o bin/sluice ./cmd/sluice

.PHONY: demo
demo: deps-demo build ## a gateway, a PostgreSQL with sample data, commands to try; Ctrl+C ends it
	@$(GO) build -o bin/demo ./demo
	@exec bin/demo $(ARGS)

.PHONY: test
test: deps-test build ## every test, against real servers too; the last line counts them
	@scripts/test -p $(JOBS) $(PKG)

.PHONY: race
race: deps-test build ## every test under the race detector
	@scripts/test -race -p $(JOBS) $(PKG)

.PHONY: bench
bench: deps-bench build ## Sluice beside a direct connection, a TCP relay and PgBouncer, and its own costs; quick: ARGS=-short
	$(GO) run ./bench $(ARGS)

.PHONY: test-suites
test-suites: deps-suites build ## PostgreSQL's, libpq's and pgx's own tests through the gateway
	$(GO) run ./suites $(ARGS)

.PHONY: soak
soak: deps-test build ## kill -9 under load, a hundred times
	SLUICE_KILLS=100 $(GO) test -count=1 -timeout 2h -v ./e2e/crash

.PHONY: fuzz
fuzz: deps-build ## every fuzz target for FUZZ=20s each
	@scripts/fuzz $(FUZZ)

.PHONY: fuzz-masks
fuzz-masks: deps-test build ## random statements under random masks for FUZZ_MASKS=30m: nothing masked may come out
	SLUICE_FUZZ=$(FUZZ_MASKS) $(GO) test -count=1 -timeout 24h -v ./e2e/evasion -run TestRandomStatements

.PHONY: lint
lint: deps-build ## gofmt, go vet, and staticcheck where it can be fetched
	@scripts/lint

.PHONY: install-deps
install-deps: ## install what build, demo and tests need
	@scripts/install-deps build test

.PHONY: deps-build deps-demo deps-test deps-bench deps-suites
deps-build:
	@scripts/install-deps build
deps-demo:
	@scripts/install-deps build demo
deps-test:
	@scripts/install-deps build test
deps-bench:
	@scripts/install-deps build demo bench
deps-suites:
	@scripts/install-deps build demo suites

.PHONY: clean
clean: ## remove what was built, and the demo's data
	rm -rf bin demo-data
