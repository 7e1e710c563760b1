# Thin: CMake presets and small scripts do the work. `make help` lists what there is.
JOBS ?= $(shell nproc)
SECONDS_PER_FUZZER ?= 60
export CCACHE_BASEDIR := $(CURDIR)

.PHONY: help deps build run test lint format fuzz bench soak pictures screenshots clean
.DEFAULT_GOAL := help

help:  ## This list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 18

deps:  ## Install the Debian packages that the build needs (as root or by sudo; else prints the line to run)
	@tests/support/install_packages.sh build

build: deps  ## Build build/release/ajar and build/release/ajar-lab
	cmake --preset release
	cmake --build build/release -j $(JOBS) --target ajar ajar-lab

run:  ## Try it: simulated servers and the agent, until Ctrl-C
	@tests/support/install_packages.sh build test
	@$(MAKE) --no-print-directory build
	@tests/lab/run.sh build/release

test:  ## Everything: one build with ASan and UBSan, all tests, all lints
	@tests/support/install_packages.sh build test
	cmake --preset asan
	cmake --build build/asan -j $(JOBS)
	ctest --test-dir build/asan -j $(JOBS) --output-on-failure --no-tests=error

lint:  ## The lints alone
	@tests/support/install_packages.sh build test
	cmake --preset asan
	ctest --test-dir build/asan -j $(JOBS) --output-on-failure --no-tests=error -R '^lint\.'

format:  ## Let clang-format-19 change the sources
	@tests/support/install_packages.sh format
	tests/lint/format.sh . --fix

fuzz:  ## Each fuzzer for SECONDS_PER_FUZZER seconds (60), with clang-19
	@tests/support/install_packages.sh build fuzz
	cmake --preset fuzz
	tests/fuzz/run.sh build/fuzz $(SECONDS_PER_FUZZER) $(JOBS)

bench:  ## ajar's engine against a plain C client, DNSBL questions against dnsperf, 100,000 targets, a million series, discovery, a million results
	@tests/support/install_packages.sh build bench
	cmake --preset release
	cmake --build build/release -j $(JOBS) --target probe_bench limit fleet dnsbl_bench pages_bench exposition_bench discovery_bench ledger_bench
	tests/bench/run.sh build/release
	tests/bench/dnsbl.sh build/release
	build/release/pages_bench
	build/release/exposition_bench
	build/release/discovery_bench
	build/release/ledger_bench

soak:  ## The long tests: 200 rounds of kill -9 while verdicts change
	@tests/support/install_packages.sh build test
	cmake --preset asan
	cmake --build build/asan -j $(JOBS) --target e2e_test
	AJAR_SOAK=200 build/asan/e2e_test --gtest_filter='Kill.*'

pictures:  ## dashboards/screenshots/ajar-*.png, drawn by Grafana's own components (fetches 600 MB with npm; takes ten minutes)
	@tests/support/install_packages.sh build pictures
	@$(MAKE) --no-print-directory build
	dashboards/pictures/make.py build/release

screenshots:  ## The pages as they look: now, proxy, notice and phone in dashboards/screenshots, taken by the browser tests
	@tests/support/install_packages.sh build test
	@$(MAKE) --no-print-directory build
	AJAR_SCREENSHOTS=dashboards/screenshots tests/browser/run.py build/release

clean:  ## Remove build/
	rm -rf build
