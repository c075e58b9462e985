package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

// tokenVector is a vector of docs/format.md.
type tokenVector struct {
	Name, Kind, Token, Class string
	SessionID                string `json:"session_id"`
	Now                      int64
	Options                  struct {
		Name, Audience, Mode string
		Skew                 int64
	}
	Keys []struct {
		ID, Secret  string
		SignFrom    int64 `json:"sign_from"`
		VerifyUntil int64 `json:"verify_until"`
	}
	Fields *vectorFields
}

type vectorFields struct {
	Seen, StartedAt, AuthenticatedAt, IssuedAt, Idle, Absolute int64
	ID, Subject, Data                                          string
	Remember, Refused                                          bool
	Revision                                                   uint32
	Wrapped                                                    []struct {
		Name, Path, Value string
		Expires           int64
		Authenticates     bool
	}
}

// UnmarshalJSON takes started_at for StartedAt, as no field differs but by that.
func (f *vectorFields) UnmarshalJSON(b []byte) error {
	type plain vectorFields
	return json.Unmarshal([]byte(strings.ReplaceAll(string(b), `_at":`, `At":`)), (*plain)(f))
}

func (v *tokenVector) opener(t *testing.T) *opener {
	t.Helper()
	o := &opener{now: v.Now, config: &policy.Config{Audience: v.Options.Audience}, opened: map[cookie.ID][]*tokenReport{}}
	o.config.Cookie.Name, o.config.Cookie.Sealed, o.config.Timeouts.Skew = v.Options.Name, v.Options.Mode == "sealed", v.Options.Skew
	for _, k := range v.Keys {
		o.config.Keys = append(o.config.Keys, cookie.Key{ID: k.ID, Secret: unhex(t, k.Secret), SignFrom: k.SignFrom, VerifyUntil: k.VerifyUntil})
	}
	if err := o.makeCodec(); err != nil {
		t.Fatal(err)
	}
	if v.Kind == "touch" {
		o.opened[cookie.ID(unhex(t, v.SessionID))] = nil
	}
	return o
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readTokenVectors(t *testing.T) []tokenVector {
	t.Helper()
	b, err := os.ReadFile("../../cookie/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Vectors []tokenVector }
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Vectors) < 500 {
		t.Fatalf("%d vectors", len(f.Vectors))
	}
	return f.Vectors
}

// inspect finds in each vector what the vector says: all its fields, or the step that refuses it.
func TestInspectVectors(t *testing.T) {
	for _, v := range readTokenVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			r := v.opener(t).open(found{token: v.Token})
			if claims, _ := cookie.Inspect(v.Token); v.Class == "version" && (claims.Purpose == cookie.Touch) != (v.Kind == "touch") {
				return // inspect goes by the token's own tag
			}
			if r.Failed != v.Class || r.Verified != (v.Class == "") {
				t.Fatalf("%+v, want class %q", r, v.Class)
			}
			if v.Class != "" {
				if r.Why == "" || r.Next == "" {
					t.Errorf("%+v says not why or what next", r)
				}
				return
			}
			if diff := cmp.Diff(v.Fields.reported(t), reported(t, r)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Without a key nothing is verified, and what was sealed stays so.
func TestInspectVectorsWithoutKeys(t *testing.T) {
	for _, v := range readTokenVectors(t) {
		r := (&opener{now: v.Now}).open(found{token: v.Token})
		if r.Verified || r.Next == "" {
			t.Errorf("%s: %+v", v.Name, r)
		}
		if r.Kind == "sealed" && (r.Session != nil || v.Class == "" && (r.Size == 0 || r.Key == "")) {
			t.Errorf("%s: %+v", v.Name, r)
		}
		if v.Class == "" && r.Kind != "sealed" {
			if diff := cmp.Diff(v.Fields.reported(t), reported(t, r)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", v.Name, diff)
			}
		}
	}
}

// reported is a vector's content as inspect prints it.
func (f *vectorFields) reported(t *testing.T) string {
	t.Helper()
	if f.ID == "" {
		return reported(t, &tokenReport{Seen: f.Seen})
	}
	s := cookie.Session{
		ID: cookie.ID(unhex(t, f.ID)), Remember: f.Remember, Refused: f.Refused, StartedAt: f.StartedAt, AuthenticatedAt: f.AuthenticatedAt,
		IssuedAt: f.IssuedAt, Idle: f.Idle, Absolute: f.Absolute, Revision: f.Revision, Subject: f.Subject, Data: f.Data,
	}
	r := &tokenReport{Session: newSessionReport(&s)}
	for _, w := range f.Wrapped {
		r.Session.Wrapped = append(r.Session.Wrapped, wrappedReport{Name: w.Name, Path: w.Path, Expires: w.Expires, Authenticates: w.Authenticates})
	}
	return reported(t, r)
}

// reported is a report without what a vector says in other words or not at all.
func reported(t *testing.T, r *tokenReport) string {
	t.Helper()
	out := &tokenReport{Seen: r.Seen}
	if r.Session != nil {
		s := *r.Session
		s.IdleAt, s.ExpiresAt, s.Outlives = 0, 0, false
		for i := range s.Wrapped {
			s.Wrapped[i].Size = 0
		}
		out.Session = &s
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
