module github.com/curfew-proxy/curfew/bench

go 1.26.4

require (
	github.com/curfew-proxy/curfew v0.0.0
	github.com/tetratelabs/proxy-wasm-go-sdk v0.24.0
)

require (
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/curfew-proxy/curfew => ../
