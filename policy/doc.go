// Package policy decides. Decide answers one question about a request, Respond one about the app's
// response, and both are functions of their arguments alone: the config, what was read from the
// wire, the time and, where a session is minted, a source of randomness. Nothing here knows Envoy.
//
// Start reading at decide.go. Rooms beside it: reason.go (every outcome by name), request.go and
// path.go (what was asked), rule.go (which rule holds), answer.go and returnto.go (what somebody
// without a session gets), command.go and respond.go (what the app may say), document.go (what the
// app is told), config.go with parse.go, keys.go, check.go and duration.go (how the filter JSON
// becomes a Config).
package policy
