package main

import (
	"encoding/json"
	"net/http"
	"time"
)

// sessionHeader carries the session document to the app, and the app's command back to Curfew.
const sessionHeader = "x-session"

// profile is what this app keeps in a session's data.
type profile struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

// session is the part of Curfew's session document that this app shows. Times are Unix seconds, durations seconds.
type session struct {
	Subject         string  `json:"subject"`
	AuthenticatedAt int64   `json:"authenticated_at"`
	IdleIn          int64   `json:"idle_in"`
	ExpiresIn       int64   `json:"expires_in"`
	Remember        bool    `json:"remember"`
	Data            profile `json:"data"`
}

// currentSession tells who sent the request; nil is nobody. The header can be trusted because Curfew removes
// whatever a client sends under its name.
func currentSession(r *http.Request) *session {
	var s session
	err := json.Unmarshal([]byte(r.Header.Get(sessionHeader)), &s)
	if err != nil || s.Subject == "" {
		return nil
	}
	return &s
}

// startSession asks Curfew to start a session. Call it before the response's status is written.
func startSession(w http.ResponseWriter, subject string, data profile, remember bool) {
	type start struct {
		Subject  string  `json:"subject"`
		Data     profile `json:"data"`
		Remember bool    `json:"remember"`
	}
	command, _ := json.Marshal(map[string]start{"start": {subject, data, remember}}) // strings and a bool cannot fail
	w.Header().Set(sessionHeader, string(command))
}

// AuthenticatedTime is when the user last proved who they are, in UTC.
func (s *session) AuthenticatedTime() time.Time { return time.Unix(s.AuthenticatedAt, 0).UTC() }

// Quiet is how many seconds without a request end the session.
func (s *session) Quiet() int64 { return min(s.IdleIn, s.ExpiresIn) }
