.PHONY: test check ci try bench

test: ## what needs nothing but Go
	go test ./...

check: ## what a commit must pass
	test -z "$$(gofmt -l .)"
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go test -race -shuffle=on ./...

ci: ## the whole gate, with real peers; installs them, needs root on Debian
	.ci/run

try: ## three messages through a gateway, on this machine
	go run ./cmd/postreeve try

bench: ## benchmarks with allocations
	go test -run '^$$' -bench . -benchmem ./verdict/... ./relay/...
