# Everything that is built, run or measured here goes through these targets; `make help` lists them.

export GOTOOLCHAIN := auto
export PATH := $(CURDIR)/bin/tools:$(PATH)

SHELL   := bash
VERSION := $(or $(shell git describe --tags --match 'v*' --dirty 2>/dev/null | sed 's/^v//'),0.4.0)
LDFLAGS := -s -w -X main.version=$(VERSION)
BIN     := bin/brigade
TOOLS   := bin/tools
FIGURES := ^TestFigure
# Tests that drive the program in processes of its own. What they are made of is tested elsewhere under the race detector, which they
# would only slow down; make race runs them with it.
DRIVERS := ./test/cluster ./test/e2e ./test/matrix

# A tool is rebuilt only when the file that pins its version changes.
tool_build = CGO_ENABLED=0 go -C $(1) build -trimpath -ldflags='-s -w' -o $(CURDIR)/$(TOOLS)/ $(2)

.DEFAULT_GOAL := help
.PHONY: help build man demo test chaos conformance live race minio lint bench figures tools clean go-check cross

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

go-check:
	@test/setup.sh go

build: go-check ## build bin/brigade, a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags='$(LDFLAGS)' -o $(BIN) ./cmd/brigade

man: build ## write the manual pages into dist/man
	@$(BIN) man dist/man

demo: build $(TOOLS)/versitygw ## a cluster copies Go's source tree to an S3 server while a node joins and the leader is killed
	@CGO_ENABLED=0 go build -trimpath -o bin/demo ./test/demo
	@bin/demo -brigade $(BIN) -out demo-out

test: go-check ## run all tests, under the race detector but for those that drive the program, in about 20 minutes
	@test/setup.sh test
	@$(MAKE) --no-print-directory $(TOOLS)/versitygw $(TOOLS)/fake-gcs-server $(TOOLS)/azurite-blob
	@$(MAKE) --no-print-directory -j 2 test-driving test-packages

# Both at once: the first waits for most of its time, the second computes.
.PHONY: test-driving test-packages
test-driving:
	CGO_ENABLED=0 go test -p 2 -timeout 25m $(DRIVERS)

test-packages:
	CGO_ENABLED=1 go test -race -p 2 -timeout 20m $$(go list ./... | grep -vFx "$$(go list $(DRIVERS))")

race: go-check $(TOOLS)/versitygw $(TOOLS)/fake-gcs-server $(TOOLS)/azurite-blob ## run the tests that drive the program under the race detector too
	CGO_ENABLED=1 go test -race -p 2 -timeout 40m $(DRIVERS)

chaos: build $(TOOLS)/versitygw ## kill, suspend, stop and grow clusters of the release binary for long
	BRIGADE_CHAOS=1 BRIGADE_BIN=$(CURDIR)/$(BIN) CGO_ENABLED=0 go test -count 1 -v -timeout 1h ./test/cluster

conformance: go-check $(TOOLS)/versitygw ## run the conformance suite at every provider, and print what applies to which as a table
	@rm -f conformance.jsonl
	BRIGADE_CONFORMANCE=$(CURDIR)/conformance.jsonl go test -count 1 -run 'Conformance' ./transfer/store/...
	@go run ./test/conformance conformance.jsonl

live: go-check ## run the conformance suite in real buckets that BRIGADE_LIVE_S3, BRIGADE_LIVE_COS, ... name; see test/README.md
	go test -tags live -count 1 -timeout 1h -run TestLive -v ./test/matrix

minio: build $(TOOLS)/minio ## hold the S3 provider against MinIO, a second real server that is too long to build for every run
	BRIGADE_MINIO=$(CURDIR)/$(TOOLS)/minio BRIGADE_BIN=$(CURDIR)/$(BIN) CGO_ENABLED=0 go test -tags minio -count 1 -timeout 20m -run MinIO -v ./transfer/store/s3 ./test/e2e

lint: go-check $(TOOLS)/golangci-lint cross ## check format, vet, linters, go.mod, and that other platforms build
	@bad=$$(git ls-files '*.go' | xargs -r gofmt -l); test -z "$$bad" || { echo "gofmt would change:"; echo "$$bad"; exit 1; }
	go vet ./...
	$(TOOLS)/golangci-lint run ./...
	go mod tidy -diff

cross: go-check
	@for p in linux/arm64 windows/amd64 darwin/arm64; do \
	  echo "build $$p"; \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} go build -o /dev/null ./cmd/brigade || exit 1; \
	done

bench: build $(TOOLS)/rclone ## measure against rclone on the same work; table, and JSON in test/bench/RESULTS.json
	CGO_ENABLED=0 go build -trimpath -o bin/sink ./test/sink/cmd
	CGO_ENABLED=0 go build -trimpath -o bin/bench ./test/bench
	bin/bench -brigade $(BIN) -rclone $(TOOLS)/rclone -sink bin/sink -out test/bench/RESULTS.json

figures: build $(if $(filter ^TestFigure,$(FIGURES)),bench) $(TOOLS)/versitygw ## measure every promise on the release binary; table, and JSON in figures/figures.json
	CGO_ENABLED=0 go test -c -tags figures -o bin/e2e.test ./test/e2e
	cd test/e2e && BRIGADE_FIGURES=1 BRIGADE_BIN=$(CURDIR)/$(BIN) ../../bin/e2e.test -test.run '$(FIGURES)' -test.v -test.timeout 3h

tools: go-check $(TOOLS)/versitygw $(TOOLS)/fake-gcs-server $(TOOLS)/azurite-blob $(TOOLS)/golangci-lint $(TOOLS)/rclone ## build the pinned tools that tests, lint and bench use

$(TOOLS)/versitygw: test/tools/go.mod test/tools/go.sum
	@echo "building versitygw, the S3 server of the tests (once; a minute or two)"
	@$(call tool_build,test/tools,github.com/versity/versitygw/cmd/versitygw)
	@touch $@

$(TOOLS)/fake-gcs-server: test/tools/fakegcs/go.mod test/tools/fakegcs/go.sum
	@echo "building fake-gcs-server, the server of Cloud Storage of the tests (once; a minute)"
	@$(call tool_build,test/tools/fakegcs,github.com/fsouza/fake-gcs-server)
	@touch $@

# npm puts the packages of the lock file beside the program that starts the server; their install scripts are not needed.
$(TOOLS)/azurite-blob: test/tools/azurite/package.json test/tools/azurite/package-lock.json
	@test/setup.sh node
	@echo "installing azurite, the Azure server of the tests (once; half a minute)"
	@mkdir -p $(TOOLS)/azurite
	@cp test/tools/azurite/package.json test/tools/azurite/package-lock.json test/tools/azurite/.npmrc $(TOOLS)/azurite/
	@cd $(TOOLS)/azurite && npm ci --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error
	@printf '#!/bin/sh\nexec node "$$(dirname "$$0")/azurite/node_modules/azurite/dist/src/blob/main.js" "$$@"\n' > $@
	@chmod +x $@

$(TOOLS)/golangci-lint: test/tools/lint/go.mod test/tools/lint/go.sum
	@echo "building golangci-lint (once; two or three minutes)"
	@$(call tool_build,test/tools/lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
	@touch $@

$(TOOLS)/rclone: test/tools/rclone/go.mod test/tools/rclone/go.sum
	@echo "building rclone, to measure against (once; two or three minutes)"
	@$(call tool_build,test/tools/rclone,github.com/rclone/rclone)
	@touch $@

$(TOOLS)/minio: test/tools/minio/go.mod test/tools/minio/go.sum
	@echo "building MinIO, a second S3 server for tests (once; three to five minutes)"
	@$(call tool_build,test/tools/minio,github.com/minio/minio)
	@touch $@

clean: ## remove what the other targets made
	rm -rf bin demo-out dist figures conformance.jsonl
