module github.com/curfew-proxy/curfew/e2e

go 1.26.0

replace github.com/curfew-proxy/curfew => ../

require golang.org/x/net v0.50.0

require golang.org/x/text v0.43.0 // indirect
