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
	Idle string `json:"idle,omitempty"` // the idle timeout that the person chose
}

// session is the part of Curfew's session document that this app uses. Times are Unix seconds, durations seconds.
type session struct {
	Subject         string  `json:"subject"`
	StartedAt       int64   `json:"started_at"`
	AuthenticatedAt int64   `json:"authenticated_at"`
	TouchedAt       int64   `json:"touched_at"`
	IdleIn          int64   `json:"idle_in"`
	ExpiresIn       int64   `json:"expires_in"`
	Remember        bool    `json:"remember"`
	Refreshed       bool    `json:"refreshed"`
	Reason          string  `json:"reason"`
	Data            profile `json:"data"`
}

// start is what Curfew needs to start a session; without Idle and Absolute its configuration's timeouts hold.
type start struct {
	Subject  string  `json:"subject"`
	Data     profile `json:"data"`
	Remember bool    `json:"remember"`
	Idle     string  `json:"idle,omitempty"`
	Absolute string  `json:"absolute,omitempty"`
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

// tellCurfew asks Curfew for a change of the session. Call it before the response's status is written.
func tellCurfew(w http.ResponseWriter, command map[string]any) {
	text, _ := json.Marshal(command) // strings, bools and nils cannot fail
	w.Header().Set(sessionHeader, string(text))
}

// AuthenticatedTime is when the user last proved who they are, in UTC.
func (s *session) AuthenticatedTime() time.Time { return time.Unix(s.AuthenticatedAt, 0).UTC() }

// Quiet is how many seconds without a request end the session.
func (s *session) Quiet() int64 { return min(s.IdleIn, s.ExpiresIn) }

// Whole is the absolute timeout in seconds. It holds on pages, whose request is activity.
func (s *session) Whole() int64 { return s.TouchedAt - s.StartedAt + s.ExpiresIn }
