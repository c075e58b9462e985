module github.com/curfew-proxy/curfew/e2e

go 1.26.0

replace github.com/curfew-proxy/curfew => ../
