package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// account is a demo user. A real app stores a slow hash (argon2id, bcrypt), never a password.
type account struct{ User, Name, Password string }

// accounts are shown on the login page, passwords and all.
func accounts() []account {
	return []account{{"alice", "Alice", "demo-alice"}, {"bob", "Bob", "demo-bob"}}
}

// loginForm is what the login page shows.
type loginForm struct {
	Next, Notice, User string
	Wrong              bool
	Accounts           []account
}

func askLogin(v *visit) {
	query := v.r.URL.Query()
	v.show(http.StatusOK, "login", loginForm{Next: safePath(query.Get("next")), Notice: notice(query.Get("reason")), Accounts: accounts()})
}

// start is Curfew's command that begins a session with a subject.
type start struct {
	Subject  string         `json:"subject"`
	Data     map[string]any `json:"data"`
	Keep     bool           `json:"keep"` // the data of the session until now: the cart is still full
	Remember bool           `json:"remember"`
}

func login(v *visit) {
	form := v.r.PostForm
	next := safePath(form.Get("next"))
	who, ok := authenticate(form.Get("user"), form.Get("password"))
	if !ok {
		v.show(http.StatusUnauthorized, "login", loginForm{Next: next, User: form.Get("user"), Wrong: true, Accounts: accounts()})
		return
	}
	v.joinTest()
	// Curfew keeps no data of another subject's session. Theme and group belong to the browser, so they go along.
	data := map[string]any{"name": who.Name, "group": v.Data.Group}
	if v.Data.Theme != "" {
		data["theme"] = v.Data.Theme
	}
	clear(v.changes) // a start stands alone
	v.command["start"] = start{who.User, data, true, form.Get("remember") != ""}
	v.redirect(next)
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

func showAccount(v *visit) { v.show(http.StatusOK, "account", nil) }

// changeRemember makes the session outlive the browser, or not. It works both ways at any time.
func changeRemember(v *visit) {
	v.command["remember"] = v.r.PostForm.Get("remember") != ""
	v.redirect("/account")
}

// safePath returns path if it is one of this site, else "/". Browsers read `//` and `/\` as the start of another
// host, and drop tabs and line breaks before they look.
func safePath(path string) string {
	unsafe := func(c rune) bool { return c == '\\' || c < ' ' || c == 0x7f }
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.ContainsFunc(path, unsafe) {
		return "/"
	}
	return path
}

// notice turns Curfew's reason into a sentence of ours. The list is closed: anybody can write a link with a
// reason in it, so its text never reaches the page.
func notice(reason string) string {
	switch reason {
	case "", "absent":
		return ""
	case "anonymous":
		return "Please log in for this page. Your cart comes along."
	case "idle_timeout":
		return "You were logged out because you were inactive."
	case "absolute_timeout":
		return "You were logged out because your session reached its time limit."
	case "revoked":
		return "Your session was ended for security reasons."
	case "auth_too_old":
		return "That page needs a recent login. Please enter your password again."
	case "logged_out":
		return "You have logged out."
	default:
		return "Please log in to continue."
	}
}
