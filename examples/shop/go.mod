module github.com/curfew-proxy/curfew/examples/shop

go 1.25.0
