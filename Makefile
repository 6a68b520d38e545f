# `make run` and `make test` do everything on a fresh Debian 12 machine with a Swift 6.3 toolchain.
# `make help` lists the rest.

SHELL := /bin/bash
export PATH := $(PATH):/opt/swift/usr/bin

PYTHON := /usr/bin/python3
PREFIX ?= /usr/local

# The Swift runtime inside the binary; exclusivity checks off in this executable only (docs/decisions/002).
RELEASE := swift build -c release --product weir --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked
WEIR := .build/release/weir
FORMATTED := Sources Tests Fuzz Package.swift

# The suite waits more than it computes: processes share it, a file is one's own. What fails there is run once
# more, alone (Tests/Integration/unsteady.py).
PROCESSES ?= 3
PYTEST := PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -n $(PROCESSES) --dist loadfile --once-more
# Shared by all fuzz targets.
FUZZ_SECONDS ?= 80
# Heap allocations per proxied request that are allowed in steady state (Benchmarks/allocations).
ALLOCATIONS_MAX ?= 0.02
# With sanitizers run what is marked `threads` with the one, `bytes` with the other (the files say so), or all of it.
SANITIZED ?= marked
sanitized = Tests/Integration -m "not slow$(if $(filter marked,$(SANITIZED)), and $(1))"

.PHONY: help run build test test-everything lint format house bench fuzz mutate schema reference install clean setup-run setup-test \
	setup-bench test-unit test-sim test-integration test-docs test-fuzz test-allocations test-tsan test-asan

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup-run build ## build, then serve examples/quickstart.yaml with demo backends
	@scripts/demo

build: ## the release binary, .build/release/weir
	@scripts/no-warnings $(RELEASE)

test: setup-test ## the whole suite, as CI runs it
	@scripts/test

test-everything: setup-test ## the same with the whole integration suite under both sanitizers, 16 minutes of fuzzing, ten times the seeds
	@FUZZ_SECONDS=960 SANITIZED=all WEIR_SIM_SEEDS=10000 scripts/test

test-unit: ## unit tests and the house rules
	@scripts/no-warnings swift build --build-tests
	@swift test --skip-build --skip '^SimTests'

test-sim: ## a worker with its clients and endpoints in virtual time, over WEIR_SIM_SEEDS seeds (CONTRIBUTING.md)
	@swift build --build-tests
	@swift test --skip-build --filter '^SimTests'

test-integration: build ## the release binary against scripted clients and backends
	@$(PYTEST) Tests/Integration

test-docs: build ## every documented configuration and link
	@$(PYTHON) scripts/check-docs $(WEIR)

test-fuzz: ## every fuzz target for its share of FUZZ_SECONDS
	@Fuzz/run $(FUZZ_SECONDS)

test-allocations: build ## heap allocations per request stay below ALLOCATIONS_MAX
	@Benchmarks/allocations --max $(ALLOCATIONS_MAX)

# ThreadSanitizer takes a value of no size for one that is shared, and the system's random numbers, which the examples
# of the libraries take, are such a value; they have one thread.
test-tsan: ## unit tests and what is marked `threads` of the integration suite under ThreadSanitizer
	@swift build --build-tests --sanitize=thread --scratch-path .build/tsan
	@TSAN_OPTIONS="halt_on_error=1:atexit_sleep_ms=0" SWIFT_BACKTRACE=enable=no WEIR_SIM_SEEDS=50 \
		swift test --skip-build --sanitize=thread --scratch-path .build/tsan --skip LibraryExamples --skip '^SimTests'
	@TSAN_OPTIONS="halt_on_error=1:atexit_sleep_ms=0" SWIFT_BACKTRACE=enable=no WEIR_SIM_SEEDS=50 \
		swift test --skip-build --sanitize=thread --scratch-path .build/tsan --filter '^SimTests'
	@TSAN_OPTIONS="halt_on_error=1:atexit_sleep_ms=0" SWIFT_BACKTRACE=enable=no WEIR_BIN=.build/tsan/debug/weir \
		$(PYTEST) $(call sanitized,threads)

test-asan: ## the same with what is marked `bytes` under AddressSanitizer and, for the running program, LeakSanitizer
	@swift build --build-tests --sanitize=address --scratch-path .build/asan
	@ASAN_OPTIONS="detect_leaks=0:quarantine_size_mb=1" SWIFT_BACKTRACE=enable=no WEIR_SIM_SEEDS=200 \
		swift test --skip-build --sanitize=address --scratch-path .build/asan --skip '^SimTests'
	@ASAN_OPTIONS="detect_leaks=0:quarantine_size_mb=1" SWIFT_BACKTRACE=enable=no WEIR_SIM_SEEDS=200 \
		swift test --skip-build --sanitize=address --scratch-path .build/asan --filter '^SimTests'
	@ASAN_OPTIONS="quarantine_size_mb=1" LSAN_OPTIONS="suppressions=$(CURDIR)/Tests/lsan.supp:print_suppressions=0" \
		SWIFT_BACKTRACE=enable=no WEIR_BIN=.build/asan/debug/weir $(PYTEST) $(call sanitized,bytes)

lint: ## fails on what the toolchain's formatter would change
	@swift format lint -r --strict $(FORMATTED)

house: ## draw the calls between the rooms of the data plane, docs/house.svg
	@WEIR_UPDATE_GOLDEN=1 swift test --filter RoomsTests

format: ## let the toolchain's formatter change it
	@swift format -i -r $(FORMATTED)

bench: setup-bench build ## against nginx, HAProxy and Envoy on this machine
	@Benchmarks/fetch-peers || true
	@Benchmarks/run

fuzz: ## every fuzz target for a minute (FUZZ_SECONDS=960, shared by all)
	@Fuzz/run $(if $(filter command line environment,$(origin FUZZ_SECONDS)),$(FUZZ_SECONDS),960)

mutate: ## small wrong changes to the sources, each of which a test must notice (Tests/Mutations)
	@$(PYTHON) scripts/mutate

schema: build ## the JSON Schema of the configuration, for editors: weir.schema.json
	@$(WEIR) schema > weir.schema.json
	@echo weir.schema.json

reference: ## docs/reference.md and the golden files, from the definitions the checker uses
	@WEIR_UPDATE_GOLDEN=1 swift test --filter ConfigurationTests

install: build ## the stripped binary to PREFIX/bin
	install -D -m 755 -s $(WEIR) $(DESTDIR)$(PREFIX)/bin/weir

clean: ## everything that was built
	rm -rf .build build

setup-run setup-test setup-bench:
	@scripts/setup $(@:setup-%=%)
