# Everything a developer or CI does. Nothing is needed but Go, git, make and bash: the tools are built into
# bin/ and the control plane into a cache, both from Go modules pinned in hack/.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
IMG      ?= flex-registration-operator:$(VERSION)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
# When the commit was made, for images and bills of materials to have that time and not the one of their making.
EPOCH    ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
FUZZTIME ?= 30s
MANIFEST ?= dist/install.yaml
# Arguments of "make run".
ARGS     ?=
# Packages and arguments of "make test", to run a part: make test PKG=./controllers/... TESTARGS='-run Renew'
PKG      ?= ./...
TESTARGS ?=

# Without cgo, tests share compiled packages with the control plane's build, and no C compiler is needed.
export CGO_ENABLED ?= 0

CHART := charts/flex-registration-operator

# The modules of this repository.
MODULES := . hack/controlplane hack/helm/v3 hack/helm/v4 hack/prometheus hack/prometheus/crds hack/tools hack/tools/golangci-lint

##@ Everyday

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET [VARIABLE=value]" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: plugin ## Build bin/manager and bin/kubectl-flexreg
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o bin/manager .

.PHONY: plugin
plugin: ## Build the kubectl plugin, bin/kubectl-flexreg
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/kubectl-flexreg ./cmd/kubectl-flexreg

.PHONY: plugin-archives
plugin-archives: ## Build the archives that hack/krew/flexreg.yaml names, in bin/krew
	@mkdir -p bin/krew && for platform in linux_amd64 linux_arm64 darwin_amd64 darwin_arm64 windows_amd64; do \
	  os=$${platform%_*} program=kubectl-flexreg; [ $$os != windows ] || program=$$program.exe; \
	  directory=$$(mktemp -d) && cp LICENSE "$$directory" && echo "$$platform" && \
	  GOOS=$$os GOARCH=$${platform#*_} go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o "$$directory/$$program" ./cmd/kubectl-flexreg && \
	  tar -czf bin/krew/kubectl-flexreg_$(VERSION)_$$platform.tar.gz -C "$$directory" LICENSE $$program && rm -r "$$directory" || exit 1; \
	done

.PHONY: run
run: ## Run the operator from source against the current kubeconfig; ARGS are its flags
	go run -ldflags '-X main.version=$(VERSION)' . $(ARGS)

.PHONY: demo
demo: $(if $(filter real,$(NODE)),,controlplane) ## Show a renewal from end to end; NODE=real in containers (Linux, root), KEEP=1 leaves it running
ifeq ($(NODE),real)
	@E2E_LOG_DIR=$(CURDIR)/test-results/demo-logs hack/e2e/on-node.sh go run ./hack/demo --node=real $(if $(KEEP),--keep)
else
	@KUBEBUILDER_ASSETS="$$(hack/controlplane/build.sh)" go run ./hack/demo $(if $(KEEP),--keep)
endif

.PHONY: demo-experience-hub
demo-experience-hub: controlplane ## Show how a certificate between API Experience Hub and Salesforce is rotated
	@KUBEBUILDER_ASSETS="$$(hack/controlplane/build.sh)" go run ./hack/demo --story=experience-hub

.PHONY: controlplane
controlplane: ## Build the local control plane, once (ten minutes on two cores), and print where it is
	@hack/controlplane/build.sh

# Arguments of "make image", for docker buildx build: PLATFORMS=linux/amd64,linux/arm64 IMAGEARGS=--push builds for both and pushes.
PLATFORMS ?=
IMAGEARGS ?= --load
BUILD_IMAGE = docker buildx build $(if $(PLATFORMS),--platform=$(PLATFORMS)) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) \
  --build-arg SOURCE_DATE_EPOCH=$(EPOCH) $(IMAGEARGS)

.PHONY: image
image: ## Build the container image IMG; PLATFORMS and IMAGEARGS for several, and to push
	$(BUILD_IMAGE) -t $(IMG) .

.PHONY: image-exec
image-exec: ## Build the image for --renewer=exec, IMG-exec, on the image with flexctl that BASE names
	$(if $(BASE),,$(error name the image that has flexctl: make image-exec BASE=mulesoft/flex-gateway:VERSION))
	$(BUILD_IMAGE) --target exec --build-arg BASE=$(BASE) -t $(IMG)-exec .

.PHONY: sbom
sbom: bin/sbom ## List the modules in the image's programs for each platform, in dist/*.cdx.json (CycloneDX)
	@mkdir -p dist && work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && for arch in amd64 arm64; do \
	  GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$$work/manager" . && \
	  GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$$work/flexctl-runner" ./cmd/flexctl-runner && \
	  bin/sbom --name=flex-registration-operator --version=$(VERSION) --epoch=$(EPOCH) "$$work/manager" "$$work/flexctl-runner" > dist/flex-registration-operator_linux_$$arch.cdx.json && \
	  echo "dist/flex-registration-operator_linux_$$arch.cdx.json" || exit 1; \
	done

# kustomize is that of kubectl, which belongs to the local control plane.
.PHONY: install-manifest
install-manifest: ## Write MANIFEST, dist/install.yaml, with which kubectl apply installs the operator from IMG
	@mkdir -p $(dir $(MANIFEST))
	@"$$(hack/controlplane/build.sh)/kubectl" kustomize config/default | sed 's|image: flex-registration-operator:latest$$|image: $(IMG)|' >$(MANIFEST)
	@echo $(MANIFEST)

.PHONY: clean
clean: ## Remove what was built here; the caches stay
	rm -rf bin dist test-results

##@ Code

.PHONY: generate
generate: bin/controller-gen bin/crd-ref-docs ## Generate deep copies, the CRD, the roles and docs/reference.md from the code, and the chart's files from those
	bin/controller-gen object paths=./api/... paths=./internal/gateway
	bin/controller-gen crd paths=./api/... output:crd:dir=config/crd/bases
	bin/controller-gen rbac:roleName=flex-registration-operator paths=./controllers/... output:rbac:dir=config/rbac
	bin/controller-gen rbac:roleName=flex-registration-operator-handoff paths=./internal/anypoint/job/... output:rbac:dir=config/rbac/handoff
	go run ./hack/chart $(CHART)
	$(API_REFERENCE) --output-path=docs/reference.md

API_REFERENCE = bin/crd-ref-docs --source-path=api/v1alpha1 --config=hack/tools/crd-ref-docs/config.yaml \
  --templates-dir=hack/tools/crd-ref-docs/templates --renderer=markdown --log-level=ERROR

.PHONY: lint
lint: bin/golangci-lint ## Lint; "bin/golangci-lint run --fix" mends what can be mended
	bin/golangci-lint run

.PHONY: verify
verify: verify-format verify-generated verify-modules vet lint ## All checks that run nothing: format, generated files, modules, vet, lint

.PHONY: verify-format
verify-format:
	@echo "gofmt -l ."; files=$$(gofmt -l .) || exit 1; \
	if [ -n "$$files" ]; then echo "$$files"; echo "These files are not formatted: run gofmt -w on them." >&2; exit 1; fi

# Generates into another place and compares, so that it works on uncommitted work and changes nothing.
.PHONY: verify-generated
verify-generated: bin/controller-gen bin/crd-ref-docs
	@echo "controller-gen and crd-ref-docs, compared with what is there"; \
	new=$$(mktemp -d) && trap 'rm -rf "$$new"' EXIT && \
	bin/controller-gen object crd rbac:roleName=flex-registration-operator paths=./api/... paths=./controllers/... \
	  output:object:dir="$$new/object" output:crd:dir="$$new/crd" output:rbac:dir="$$new/rbac" && \
	bin/controller-gen rbac:roleName=flex-registration-operator-handoff paths=./internal/anypoint/job/... output:rbac:dir="$$new/handoff" && \
	bin/controller-gen object paths=./internal/gateway output:object:dir="$$new/gateway" && \
	go run ./hack/chart "$$new/chart" && \
	$(API_REFERENCE) --output-path="$$new/reference.md" && \
	diff -u docs/reference.md "$$new/reference.md" && \
	{ diff -u api/v1alpha1/zz_generated.deepcopy.go "$$new/object/zz_generated.deepcopy.go" && \
	  diff -u internal/gateway/zz_generated.deepcopy.go "$$new/gateway/zz_generated.deepcopy.go" && \
	  diff -ru config/crd/bases "$$new/crd" && \
	  diff -u config/rbac/role.yaml "$$new/rbac/role.yaml" && \
	  diff -u config/rbac/handoff/role.yaml "$$new/handoff/role.yaml" && \
	  diff -ru $(CHART)/files "$$new/chart/files" && \
	  diff -u $(CHART)/README.md "$$new/chart/README.md"; } || \
	{ echo "The generated files are not current: run make generate." >&2; exit 1; }

.PHONY: verify-modules
verify-modules:
	@for module in $(MODULES); do \
	  echo "go -C $$module mod tidy -diff"; \
	  go -C $$module mod tidy -diff || { echo "$$module/go.mod is not tidy: run go mod tidy there." >&2; exit 1; }; \
	done

.PHONY: vet
vet:
	go vet -tags e2e ./...

##@ Tests

# Runs tests through gotestsum and sums up: $(call run-tests,name of the results,arguments of go test,environment)
define run-tests
@mkdir -p test-results
@KUBEBUILDER_ASSETS="$$(hack/controlplane/build.sh)" && export KUBEBUILDER_ASSETS || exit 1; \
$(3) bin/gotestsum --format pkgname --format-hide-empty-pkg --jsonfile test-results/$(1).json -- $(2); status=$$?; \
hack/tools/summary.sh test-results/$(1).json; exit $$status
endef

.PHONY: test
test: bin/gotestsum bin/helm3 bin/helm4 ## Run all tests, those on a real control plane too; PKG and TESTARGS select
	$(call run-tests,test,-count=1 -timeout 20m $(TESTARGS) $(PKG))

.PHONY: test-race
test-race: bin/gotestsum bin/helm3 bin/helm4 ## Run all tests under the race detector; needs a C compiler
	$(call run-tests,test-race,-count=1 -timeout 40m -race $(TESTARGS) $(PKG),CGO_ENABLED=1)

.PHONY: test-faults
test-faults: bin/gotestsum ## Break the operator at every call in turn; takes long
	$(call run-tests,test-faults,-count=1 -timeout 60m $(TESTARGS) ./test/faults/...,FAULTS=all)

.PHONY: test-alerts
test-alerts: bin/gotestsum bin/promtool bin/prometheus ## Test alerts and dashboard with a real Prometheus that scrapes the operator
	@go -C hack/prometheus/crds mod download github.com/prometheus-operator/prometheus-operator
	$(call run-tests,test-alerts,-tags e2e -count=1 -timeout 10m $(TESTARGS) ./test/alerts/...)

.PHONY: e2e
e2e: test-alerts bin/gotestsum ## Run the tests with containers, on a node made for them (Linux, root) or the cluster of KUBECONFIG
	@hack/e2e/run.sh $(TESTARGS) ./test/e2e/...

.PHONY: bench
bench: ## Measure what BENCH_N registrations cost (200), into test-results/bench.json; see docs/scale.md
	@mkdir -p test-results
	@KUBEBUILDER_ASSETS="$$(hack/controlplane/build.sh)" go run ./hack/bench --json=test-results/bench.json

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME
	@git grep --untracked -E '^func Fuzz[A-Za-z0-9_]*\(' -- '*_test.go' | while IFS=: read -r file line; do \
	  target=$${line#func }; target=$${target%%(*}; package=./$$(dirname "$$file"); \
	  echo "$$package $$target"; \
	  go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$package" </dev/null || exit 1; \
	done

# Tools, built anew when the module that pins them changes.

TOOLS := hack/tools/go.mod hack/tools/go.sum

bin/controller-gen: $(TOOLS)
	@echo "building controller-gen" >&2
	@go -C hack/tools build -o ../../bin/ sigs.k8s.io/controller-tools/cmd/controller-gen && touch $@

bin/crd-ref-docs: $(TOOLS)
	@echo "building crd-ref-docs" >&2
	@go -C hack/tools build -o ../../bin/ github.com/elastic/crd-ref-docs && touch $@

bin/sbom: $(TOOLS) hack/tools/sbom/main.go
	@echo "building sbom" >&2
	@go -C hack/tools build -o ../../bin/ ./sbom && touch $@

bin/gotestsum: $(TOOLS)
	@echo "building gotestsum" >&2
	@go -C hack/tools build -o ../../bin/ gotest.tools/gotestsum && touch $@

bin/golangci-lint: hack/tools/golangci-lint/go.mod hack/tools/golangci-lint/go.sum
	@echo "building golangci-lint, once (minutes)" >&2
	@go -C hack/tools/golangci-lint build -o ../../../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint && touch $@

# Two majors of Helm, each in a module of its own: they need different versions of the same libraries.
bin/helm3: hack/helm/v3/go.mod hack/helm/v3/go.sum
	@echo "building Helm 3, once (minutes)" >&2
	@go -C hack/helm/v3 build -o ../../../$@ helm.sh/helm/v3/cmd/helm && touch $@

bin/helm4: hack/helm/v4/go.mod hack/helm/v4/go.sum
	@echo "building Helm 4, once (minutes)" >&2
	@go -C hack/helm/v4 build -o ../../../$@ helm.sh/helm/v4/cmd/helm && touch $@

# Without the service discovery of every cloud, whose clients are most of what there would be to compile.
bin/promtool bin/prometheus: hack/prometheus/go.mod hack/prometheus/go.sum
	@echo "building $(@F), once (minutes)" >&2
	@go -C hack/prometheus build -tags remove_all_sd -o ../../bin/ github.com/prometheus/prometheus/cmd/$(@F) && touch $@
