module github.com/curfew-proxy/curfew/examples/app

go 1.25.0
