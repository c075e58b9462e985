package main

import (
	"net/http"
	"slices"
	"time"
)

// choice is an idle timeout that a person may choose; Value is as Curfew reads it.
type choice struct{ Value, Text string }

// usualIdle is the idle timeout that the account gives to this session; "" is the one of Curfew's configuration.
func (s *session) usualIdle() string {
	for _, a := range accounts() {
		if a.User == s.Subject && !s.Remember {
			return a.Idle
		}
	}
	return ""
}

// choices are the timeouts shorter than the usual one: people may be stricter with themselves, not laxer.
func (s *session) choices() []choice {
	all := []choice{{"10s", "10 seconds"}, {"30s", "30 seconds"}, {"1m", "1 minute"}}
	usual, err := time.ParseDuration(s.usualIdle())
	if err != nil { // there is none: the configuration's, which is longer than all of these
		return all
	}
	return slices.DeleteFunc(all, func(c choice) bool {
		d, _ := time.ParseDuration(c.Value)
		return d >= usual
	})
}

// setTimeout takes the form with which people shorten their idle timeout, and go back to the usual one.
func setTimeout(w http.ResponseWriter, r *http.Request) {
	s := currentSession(r)
	if s == nil {
		nobody(w)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	chosen := r.PostFormValue("idle")
	// JSON's null goes back: to the configuration's timeout, and to no choice in the data.
	var idle, noted any
	switch {
	case chosen != "" && slices.ContainsFunc(s.choices(), func(c choice) bool { return c.Value == chosen }):
		idle, noted = chosen, chosen
	case chosen != "":
		http.Error(w, "This timeout is not offered; choose one from the list on the home page.", http.StatusBadRequest)
		return
	case s.usualIdle() != "":
		idle = s.usualIdle()
	}
	tellCurfew(w, map[string]any{"expire_in": idle, "set": map[string]any{"idle": noted}})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
