package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name, json string
		want       []string // the fields
	}{
		{"none", withTop(`"audience":"shop"`), nil},
		{"unknown, wrong type, out of range", `{"sessions":1,` + keysPart + `,"timeouts":{"idle":15,"rotate":"1d","tuch":"1m"},"login":{"url":"/login"},"report_only":"no"}`,
			[]string{"sessions", "report_only", "timeouts.tuch", "timeouts.idle", "timeouts.rotate"}},
		{"in lists", `{` + keysPart + `,"login":{"url":"/login"},"rules":[{"path":"/a","session":"none"},{"path":"/b","idle":5,"hosts":["A"]}]}`,
			[]string{"rules[0].session", "rules[1].hosts[0]"}},
		{"behind keys", `{"keys":[{"id":1,"secret_env":"K"}],"login":{"url":"/login"},"rules":[{"session":"off"},{"path":"/b","idle":5}],"headers":{"x":"y"},"timeouts":{"idle":1}}`,
			[]string{"keys[0].id", "timeouts.idle", "rules[0]", "headers.x"}},
		{"what is missing is said once", `{"keys":[{"secret_env":"K"}],"login":{}}`, []string{"keys[0].id"}},
		{"no follow-up of a field that was cut", `{` + keysPart + `,"login":{"url":"/login"},"cookie":{"name":1,"domain":"a.example"}}`, []string{"cookie.name"}},
		{"no follow-up of a rule's cut path", `{` + keysPart + `,"login":{"url":"/login"},"rules":[{"path":"a"}]}`, []string{"rules[0].path"}},
		{"what does not fit, once the fields are right", `{` + keysPart + `,"login":{"url":"/login"},"timeouts":{"idle":"13h"},"cookie":{"domain":"a.example"}}`, []string{"cookie.domain"}},
		{"not JSON", `{"keys":[],}`, []string{"config"}},
		{"the last of several", `{` + keysPart + `,"login":{"url":"/login"},"audience":1}`, []string{"audience"}},
		{"twice", `{` + keysPart + `,"login":{"url":"/login"},"audience":"a","audience":"b"}`, []string{"audience"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var fields []string
			for _, e := range Faults(tt.json, oneKey.get) {
				fields = append(fields, e.Field)
			}
			if diff := cmp.Diff(tt.want, fields); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Faults finds something exactly where Parse refuses, and the same first.
func TestFaultsBeginAsParseEnds(t *testing.T) {
	for _, c := range badConfigs {
		_, err := Parse(c.json, c.env.get)
		faults := Faults(c.json, c.env.get)
		if len(faults) == 0 || faults[0].Error() != err.Error() {
			t.Errorf("%s: got %v, want %v first", c.name, faults, err)
		}
	}
}
