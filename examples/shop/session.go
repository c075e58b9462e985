package main

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
)

// sessionHeader carries the session to the app, and the app's commands back to Curfew.
const sessionHeader = "x-session"

// data is all that this shop remembers. It lives in the visitor's cookie, sealed, so each part of it is bounded.
type data struct {
	Name    string   `json:"name"`    // of who is logged in
	Theme   string   `json:"theme"`   // light, dark, or empty: as the system
	Group   string   `json:"group"`   // of the A/B test: a or b
	Visits  int      `json:"visits"`  // of the home page
	Recent  []string `json:"recent"`  // ids of goods, the last one seen first
	Cart    cart     `json:"cart"`    // what is to be bought
	Address *address `json:"address"` // the checkout's first step; nil until it is done
}

// session is the part of Curfew's session document that the shop reads. ID is empty where there is no session,
// Subject where nobody is logged in.
type session struct {
	ID       string `json:"id"`
	Subject  string `json:"subject"`
	Remember bool   `json:"remember"`
	Data     data   `json:"data"`
}

// readSession tells who sent the request. The header can be trusted because Curfew removes whatever a client
// sends under its name.
func readSession(r *http.Request) (s session) {
	if err := json.Unmarshal([]byte(r.Header.Get(sessionHeader)), &s); err != nil {
		return session{}
	}
	return s
}

// visit is one request, and what its answer changes about the session.
type visit struct {
	*shop
	w http.ResponseWriter
	r *http.Request
	session
	command map[string]any // what Curfew is told
	changes map[string]any // its `set`: a JSON merge patch on the data, in which nil deletes
}

// change sets one part of the session's data; nil deletes it.
func (v *visit) change(key string, value any) { v.changes[key] = value }

// joinTest draws an A/B group for a visitor who has none yet.
func (v *visit) joinTest() {
	if v.Data.Group == "" {
		v.Data.Group = []string{"a", "b"}[rand.IntN(2)]
		v.change("group", v.Data.Group)
	}
}

// tell writes the header to Curfew and returns its text. Call it before the response's status is written.
func (v *visit) tell() string {
	if len(v.changes) > 0 {
		v.command["set"] = v.changes
		if v.ID == "" { // this begins a session: cart and theme should still be there tomorrow
			v.command["remember"] = true
		}
	}
	// A page that the browser only loads ahead was not visited.
	if len(v.command) == 0 || v.r.Method == http.MethodHead || v.r.Header.Get("Sec-Purpose") != "" {
		return ""
	}
	text, _ := json.Marshal(v.command) // strings, numbers and bools cannot fail
	v.w.Header().Set(sessionHeader, string(text))
	return string(text)
}
