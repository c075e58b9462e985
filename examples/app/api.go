package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// patience is how long a client of a stream may leave an event unread.
const patience = 10 * time.Second

// me tells scripts who is signed in, and what Curfew decided about this very request.
func me(w http.ResponseWriter, r *http.Request) {
	s := currentSession(r)
	if s == nil {
		nobody(w)
		return
	}
	jsonHeaders(w)
	json.NewEncoder(w).Encode(map[string]any{
		"subject": s.Subject, "name": s.Data.Name, "role": s.Data.Role,
		"reason": s.Reason, "refreshed": s.Refreshed, "idle_in": s.IdleIn, "expires_in": s.ExpiresIn,
	})
}

// nobody answers a request without a session. Behind Curfew none gets here.
func nobody(w http.ResponseWriter) {
	jsonHeaders(w)
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, `{"error":"nobody is signed in"}`+"\n")
}

func jsonHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
}

// seconds is a stream that counts them and has no end of its own: it ends with its client, which is Curfew's
// doing when the session is over.
func seconds(w http.ResponseWriter, r *http.Request) {
	if currentSession(r) == nil {
		nobody(w)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for n := 0; ; n++ {
		// The server's own limit is for answers that end; this one only has to move.
		out.SetWriteDeadline(time.Now().Add(patience))
		fmt.Fprintf(w, "data: %d\n\n", n)
		if out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-every.C:
		}
	}
}
