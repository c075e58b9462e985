package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// maxForm is the largest login form read, in bytes: room for a percent-encoded `next` of Curfew's 2,048 bytes.
const maxForm = 16 << 10

// account is a demo user. A real app stores a slow hash (argon2id, bcrypt), never a password.
// Idle and Absolute are the timeouts of its sessions; "" leaves them to Curfew's configuration.
type account struct {
	User, Password string
	Profile        profile
	Idle, Absolute string
}

// accounts are shown on the login page, passwords and all.
func accounts() []account {
	return []account{
		{"alice", "demo-alice", profile{Name: "Alice", Role: "admin"}, "", ""},
		{"bob", "demo-bob", profile{Name: "Bob", Role: "member"}, "1m", "5m"},
		{"carol", "demo-carol", profile{Name: "Carol", Role: "member"}, "20s", "1m"},
	}
}

// loginForm is what the login page shows.
type loginForm struct {
	Next, Notice, User string
	Wrong              bool
	Accounts           []account
}

func (a *app) loginPage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	form := loginForm{Next: safeNext(query.Get("next")), Notice: notice(query.Get("reason")), Accounts: accounts()}
	a.render(w, r, http.StatusOK, "login", form)
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The login form could not be read; open /login and send it again.", http.StatusBadRequest)
		return
	}
	user, next := r.PostForm.Get("user"), safeNext(r.PostForm.Get("next"))
	who, ok := authenticate(user, r.PostForm.Get("password"))
	if !ok {
		form := loginForm{Next: next, User: user, Wrong: true, Accounts: accounts()}
		a.render(w, r, http.StatusUnauthorized, "login", form)
		return
	}
	session := start{Subject: user, Data: who.Profile, Remember: r.PostForm.Get("remember") != ""}
	if !session.Remember { // else the configuration's longer timeouts for remembered sessions hold
		session.Idle, session.Absolute = who.Idle, who.Absolute
	}
	tellCurfew(w, map[string]any{"start": session})
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// authenticate compares with every account and stops at none, so its duration tells neither the password nor
// whether the user exists.
func authenticate(user, password string) (who account, ok bool) {
	given := sha256.Sum256([]byte(user + "\x00" + password))
	for _, a := range accounts() {
		wanted := sha256.Sum256([]byte(a.User + "\x00" + a.Password))
		if subtle.ConstantTimeCompare(given[:], wanted[:]) == 1 {
			who, ok = a, true
		}
	}
	return who, ok
}

// safeNext returns next if it is a path on this site, else "/". Browsers read `//` and `/\` as the start of
// another host, and drop tabs and line breaks before they look.
func safeNext(next string) string {
	path, _, _ := strings.Cut(next, "?")
	unsafe := func(c rune) bool { return c == '\\' || c < ' ' || c == 0x7f }
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.ContainsFunc(next, unsafe) {
		return "/"
	}
	return next
}

// notice turns Curfew's reason into a sentence of ours. The list is closed: anybody can write a link with a
// reason in it, so its text never reaches the page.
func notice(reason string) string {
	switch reason {
	case "", "absent":
		return ""
	case "idle_timeout":
		return "You were signed out because you were inactive."
	case "absolute_timeout":
		return "You were signed out because your session reached its time limit."
	case "revoked":
		return "Your session was ended for security reasons."
	case "auth_too_old":
		return "That page needs a recent sign-in. Please enter your password again."
	case "logged_out":
		return "You have signed out."
	default:
		return "Please sign in to continue."
	}
}
