package policy

// Reason is the one closed list of outcomes. Its text is the counter's name, the word in the log,
// the value in the access log, the login page's `reason` and the row in the docs.
type Reason uint8

// What a request can meet, and what a response can do.
const (
	OK Reason = iota // a live session, and the rule is content with it

	Off       // the rule wants no session
	Preflight // a CORS preflight, which carries no cookie by its nature

	Absent          // no session cookie came
	Invalid         // what came is not a session of ours
	IdleTimeout     // nobody was active for too long
	AbsoluteTimeout // the session reached its end, however active
	Revoked         // the config or the feed revokes it, or somebody ended it here
	FeedStale       // nobody knows whether it is revoked, for the feed has been silent too long
	Anonymous       // alive, but nobody logged in
	AuthTooOld      // alive, but this path wants a more recent login
	Forbidden       // alive, but its data lacks what this path requires

	LoggedOut     // the logout path ended it
	LogoutRefused // a logout by another site or by a method that is not allowed
	CallRefused   // a call to the filter's own folder by another site or by a method that is not allowed
	Unreadable    // the host could not hand over the request's headers
	Opened        // an anonymous session began
	Started       // somebody logged in: the app started a session
	Rotated       // the session got a new id
	Changed       // the session's data or lifetime was written
	Renewed       // the session was sealed again
	Touched       // the touch cookie was written
	Ended         // the app ended the session
	Replaced      // a login took the place of a live session
	TooLarge      // a change did not fit into the cookie
	BadCommand    // the app's x-session header broke a rule
	ReasonCount   = iota
)

var reasonText = [ReasonCount]string{
	OK: "ok", Off: "off", Preflight: "preflight",
	Absent: "absent", Invalid: "invalid",
	IdleTimeout: "idle_timeout", AbsoluteTimeout: "absolute_timeout", Revoked: "revoked", FeedStale: "feed_stale",
	Anonymous: "anonymous", AuthTooOld: "auth_too_old", Forbidden: "forbidden",
	LoggedOut: "logged_out", LogoutRefused: "logout_refused", CallRefused: "call_refused", Unreadable: "unreadable",
	Opened: "opened", Started: "started", Rotated: "rotated", Changed: "changed", Renewed: "renewed", Touched: "touched", Ended: "ended", Replaced: "replaced",
	TooLarge: "too_large", BadCommand: "bad_command",
}

// String returns the reason's one name.
func (r Reason) String() string { return reasonText[r] }
