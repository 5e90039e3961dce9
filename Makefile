# SPDX-License-Identifier: Apache-2.0
#
# The front door; the building is CMake's (CMakePresets.json) and the work is in tools/.
#   make run          weft's documentation on http://127.0.0.1:6060/, under schedtrace; HTTP=HOST:PORT
#   make tour         the tour of examples, under schedtrace
#   make test         every preset and check; ends with "N passed, N failed"
#   make stress       the stress suite, SECONDS at each of GOMAXPROCS 1, 2 and 8
#   make bench        the benchmarks; make bench-weftdoc: weftdoc beside Go's net/http;
#                     make bench-latency: preemption and blocking calls beside Go
#   make install      PREFIX=/usr/local, DESTDIR
#   make format lint clean
PREFIX ?= /usr/local
SECONDS ?= 60
JOBS ?= $(shell nproc)
HTTP ?= 127.0.0.1:6060

all: build

build: deps
	cmake --preset release
	cmake --build --preset release -j $(JOBS)

deps:
	@tools/deps

run: deps
	@cmake --preset release > /dev/null
	@cmake --build --preset release -j $(JOBS) --target weftdoc
	@exec env GODEBUG=$${GODEBUG:-schedtrace=1000} build/release/bin/weftdoc -http=$(HTTP)

tour: build
	GODEBUG=schedtrace=1000 build/release/examples/tour

test: deps
	@tools/test-all

stress: deps
	tools/stress $(SECONDS)

bench: build
	@if [ -x bench/run ]; then bench/run; else echo 'bench/run is not there yet'; exit 1; fi

bench-weftdoc: build
	bench/weftdoc/run

bench-latency: build
	bench/latency/run

install: build
	cmake --install build/release --prefix "$(PREFIX)"
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig 2> /dev/null || true; fi

format:
	@tools/sources | xargs clang-format -i

lint:
	@tools/layers
	@tools/sources | xargs clang-format --dry-run -Werror

clean:
	rm -rf build

.PHONY: all build deps run tour test stress bench bench-weftdoc bench-latency install format lint clean
