# Every target sets up what it needs first; a set-up that is in place costs a second.
# Several goals run in the order given: `make check test`.
.NOTPARALLEL:
.DEFAULT_GOAL := help

BIN := .venv/bin
PACKAGES := overlayd controller fec sim
CARGO := cd engine && cargo

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: setup
setup: ## system packages, Rust, .venv and the optimised extension
	@tools/setup

.PHONY: demo
demo: setup ## five sites, loss, a dead relay: the mesh at work, told on the terminal
	$(BIN)/python -m sim.demo

define kubectl
@command -v kubectl > /dev/null || apt-get install --yes --no-install-recommends kubernetes-client
endef

.PHONY: demo-apps
demo-apps: setup ## an app that stays near its users: a move, a canary, a dead host, a site cut off (4 minutes; root)
	$(kubectl)
	$(BIN)/python -m sim.appdemo

.PHONY: test
test: setup ## Rust and Python tests
	$(CARGO) test --workspace --locked --quiet
	$(BIN)/pytest

.PHONY: check
check: setup ## formatting, lints, types, floors, native stub
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-logo
	$(BIN)/stubtest overlayd._engine
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings
	$(BIN)/pytest --quiet tests/boundary

.PHONY: format
format: setup ## rewrite sources to the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(CARGO) fmt --all

.PHONY: fresh-check
fresh-check: ## `make demo` and `make test` of HEAD in a new minimal Debian 12 (root)
	@tools/fresh-check

.PHONY: units-check
units-check: ## the systemd units: well formed, and how exposed each service is (needs systemd)
	@! systemd-analyze verify --man=no packaging/systemd/*.service 2>&1 | grep -v 'Command .* is not executable'
	@for unit in packaging/systemd/*.service; do \
	    table=$$(systemd-analyze security --no-pager --offline=true --threshold=25 $$unit) || status=1; \
	    printf '%s\n' "$$table" | tail -n 1; \
	done; exit $${status:-0}

# Large blocks straight from the system: what a node's rings reserve and never write to takes no memory.
adversary: export MALLOC_MMAP_THRESHOLD_ = 1048576
.PHONY: adversary
adversary: setup ## 10 million hostile datagrams and as many hostile frames against a mesh of real nodes (7 minutes of one quiet core)
	@mkdir -p build
	$(CARGO) run --profile adversary --locked --quiet --package overlayd-adversary > ../build/adversary.json
	@echo "The report is in build/adversary.json."

.PHONY: bench-engine
bench-engine: setup ## what a packet costs inside the engine, without a kernel (2 minutes)
	@mkdir -p build/bench
	$(CARGO) bench --locked --quiet --package overlayd-node --bench engine -- $(CURDIR)/build/bench/engine.json

.PHONY: bench-codec
bench-codec: setup ## the erasure code by kernel, beside reed-solomon-simd, and a million windows beside the oracle (2 minutes)
	@mkdir -p build/bench
	$(CARGO) bench --locked --quiet --package overlayd-fec --bench codec -- $(CURDIR)/build/bench/codec.json

ROUNDS ?= 5
.PHONY: bench-dataplane
bench-dataplane: setup ## we, the peers, raw veth and a bare loop, measured interleaved (ROUNDS=5, 12 minutes each; root)
	$(BIN)/python -m tests.bench --rounds $(ROUNDS)

.PHONY: bench-shards
bench-shards: setup ## engines of 1 to 4 shards, measured interleaved (ROUNDS=5, 2 minutes each; root)
	$(BIN)/python -m tests.bench.shards --rounds $(ROUNDS)

REQUESTS ?= 100000
.PHONY: bench-traffic
bench-traffic: setup ## requests of HTTP and connections of TCP while weights and servers change each second (REQUESTS=100000, 4 minutes; root)
	unshare --net sh -c 'ip link set lo up && exec $(BIN)/python -m tests.bench.traffic --requests $(REQUESTS)'

.PHONY: bench-overload
bench-overload: setup ## more offered than a bottleneck, or the engine, carries (7 minutes; root)
	$(CARGO) build --release --locked --quiet --package overlayd-io --examples
	$(BIN)/python -m tests.bench.overload

SEEDS ?= 20
.PHONY: bench-routing
bench-routing: setup ## what routing gains on traces, measured ($$OVERLAYD_DATA) and generated (SEEDS=20 at three rates, 20 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.routing --seeds $(SEEDS)

NODES ?= 1000
.PHONY: bench-controller
bench-controller: setup ## one controller under the telemetry of many agents, each on a socket (NODES=1000, 6 minutes)
	$(BIN)/python -m tests.scale --nodes $(NODES)

.PHONY: bench-paths
bench-paths: setup ## the path search from 100 to 10,000 nodes beside networkx and scipy, interleaved (ROUNDS=5, 5 minutes)
	$(BIN)/python -m tests.bench.paths --rounds $(ROUNDS)

.PHONY: bench-placement
bench-placement: setup ## 1,000 apps placed on 500 nodes, beside a bound that nothing undercuts; users within bounds on traces ($$OVERLAYD_DATA; 8 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.placing

.PHONY: bench-repair
bench-repair: setup ## what repair makes of lossy links: in virtual time, then live beside SRT (root; 25 minutes of two cores)
	$(BIN)/python -m tests.bench.repair

GB ?= 20
SEED ?= 0
.PHONY: soak
soak: setup ## all kinds of traffic between two engines, compared byte for byte (GB=20 each way; root)
	$(BIN)/python -m tests.soak --gb $(GB) --seed $(SEED)

HOSTS ?= 20
MINUTES ?= 2
.PHONY: test-prometheus
test-prometheus: setup ## alert rules, metrics and dashboards with a real Prometheus over a lab (HOSTS=20, MINUTES=2; root)
	@if ! command -v promtool > /dev/null && [ "$$(id -u)" = 0 ]; then apt-get install --yes --no-install-recommends prometheus; fi
	$(BIN)/python -m tests.prometheus --hosts $(HOSTS) --minutes $(MINUTES)

.PHONY: test-labs
test-labs: setup ## nine labs in network namespaces: what each expects holds, and fails once it is broken (7 minutes; root)
	$(BIN)/python -m tests.labs --output build/labs-netns.json

.PHONY: test-applications
test-applications: setup ## the guide to an app near its users, word by word, in its lab (1 minute; root)
	$(kubectl)
	$(BIN)/python -m tests.applications

.PHONY: test-workload
test-workload: setup ## pods in the Docker that runs here: networks, limits, images, kills of either (1 minute; root)
	@docker info > /dev/null || { echo "start Docker first" >&2; exit 1; }
	@command -v busybox > /dev/null || apt-get install --yes --no-install-recommends busybox-static
	$(BIN)/python -m tests.workload

.PHONY: dashboard
dashboard: ## the controller's dashboard, of which wheel and packages take what is built (Node 18 or newer)
	@tools/dashboard

.PHONY: test-dashboard
test-dashboard: setup dashboard ## the dashboard in a real Chromium over live controllers; report in build/dashboard.json (3 minutes; root)
	@command -v chromium > /dev/null || apt-get install --yes --no-install-recommends chromium
	@$(BIN)/python -c "import playwright" 2> /dev/null || \
	    $(BIN)/pip install --quiet --disable-pip-version-check --constraint tools/constraints.txt playwright
	$(BIN)/python -m tests.dashboard $(if $(SCREENSHOTS),--screenshots $(SCREENSHOTS))

# What the real API server needs of this machine.
define kubernetes-packages
@command -v go > /dev/null || { echo "kube-apiserver is built from its Go module: install Go 1.25 or newer" >&2; exit 1; }
@command -v etcd > /dev/null || apt-get install --yes --no-install-recommends etcd-server
endef

.PHONY: kubernetes-oracle
kubernetes-oracle: setup ## record what a real kube-apiserver answers to the table of calls (needs Go 1.25; 10 minutes at first)
	$(kubernetes-packages)
	$(BIN)/python -m tests.kubernetes record

.PHONY: test-kubernetes
test-kubernetes: setup ## kubectl, Debian's and a current one, on our API and on a real kube-apiserver: the same (needs Go 1.25)
	$(kubernetes-packages)
	$(BIN)/python -m tests.kubernetes compare

.PHONY: bench-objects
bench-objects: setup ## 5,000 objects and 200 watchers: lists, events, memory of the API (a minute)
	$(BIN)/python -m tests.kubernetes.load

KOPF_MINUTES ?= 10
.PHONY: test-kopf
test-kopf: setup ## an unmodified kopf operator on our API, through two restarts of it (10 minutes)
	test -x build/kopf/bin/kopf || { python3 -m venv build/kopf && build/kopf/bin/pip install --quiet kopf==1.45.2; }
	$(BIN)/python -m tests.kubernetes.operator --kopf build/kopf/bin/kopf --minutes $(KOPF_MINUTES)

.PHONY: wheel
wheel: setup dashboard ## the Python package for any Python from 3.11 on, in build/wheel (abi3)
	rm -rf build/wheel
	$(BIN)/maturin build --quiet --release --locked --out build/wheel

.PHONY: deb
deb: wheel ## Debian packages of host and controller, checked by lintian, in build/deb
	@tools/deb

RUNS ?= 20
.PHONY: test-systemd
test-systemd: deb ## the packages in containers with a real systemd: quick start, reboot, failures, upgrades (RUNS=20, 12 minutes; root)
	@for program in docker dockerd debootstrap; do command -v $$program > /dev/null || missing=1; done; [ -z "$${missing:-}" ] || \
	    apt-get install --yes --no-install-recommends docker.io debootstrap
	$(BIN)/python -m tests.systemd --runs $(RUNS)

.PHONY: test-autonomy
test-autonomy: deb ## a site without its controller: link cut, agent, engine and unit killed, host rebooted; apps from zero (8 minutes; root)
	@for program in docker dockerd debootstrap; do command -v $$program > /dev/null || missing=1; done; [ -z "$${missing:-}" ] || \
	    apt-get install --yes --no-install-recommends docker.io debootstrap
	$(BIN)/python -m tests.autonomy

# What the runner clab needs of this machine.
CONTAINERLAB_PACKAGES := docker.io debootstrap python3-jsonschema
define containerlab-packages
@command -v go > /dev/null || { echo "containerlab is built from its Go module: install Go 1.26 or newer" >&2; exit 1; }
@for package in $(CONTAINERLAB_PACKAGES); do \
    dpkg-query -W -f '$${db:Status-Status}' $$package 2> /dev/null | grep -qx installed || echo $$package; \
done | xargs --no-run-if-empty apt-get install --yes --no-install-recommends
endef

.PHONY: containerlab
containerlab: deb ## for labs with `--runner clab`: containerlab, and a node's image in the Docker that runs (needs Go 1.26; root)
	$(containerlab-packages)
	@docker info > /dev/null || { echo "start Docker first" >&2; exit 1; }
	@$(BIN)/python -m tests.labs --prepare

.PHONY: test-containerlab
test-containerlab: deb ## the same labs by containerlab as well, on containers with our packages (needs Go 1.26; 20 minutes; root)
	$(containerlab-packages)
	$(BIN)/python -m tests.labs --runner netns clab

.PHONY: lock
lock: setup ## renew the exact versions in tools/constraints.txt
	@tools/lock

.PHONY: clean
clean: ## remove whatever the other targets made
	rm -rf .venv build engine/target controller/dashboard/built controller/dashboard/web/node_modules overlayd/_engine.abi3.so .ruff_cache .pytest_cache .hypothesis .mypy_cache .import_linter_cache
	find $(PACKAGES) tests tools containerlab -name __pycache__ -type d -prune -exec rm -rf {} +
