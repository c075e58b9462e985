package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What docs/app.md says an app may answer, it may; what it says comes with a request, comes.
func TestAppPage(t *testing.T) {
	page, err := os.ReadFile("../docs/app.md")
	if err != nil {
		t.Fatal(err)
	}
	e := begin(t, least(whole), newClock(t))
	commands := regexp.MustCompile(`(?m)^    x-session: (.*)$`).FindAllStringSubmatch(string(page), -1)
	if len(commands) < 8 {
		t.Fatalf("docs/app.md shows %d commands", len(commands))
	}
	for _, m := range commands {
		t.Run(m[1], func(t *testing.T) {
			c := newClient(t, e, "http/1.1")
			if strings.Contains(m[1], `"start"`) {
				c.login(m[1])
				return
			}
			c.login(`{"start": {"subject": "42"}}`)
			if r := c.must(m[1]); len(r.Header["Set-Cookie"]) == 0 && !strings.Contains(m[1], "null") && !strings.Contains(m[1], "false") {
				t.Errorf("it did nothing: %v", r.Header)
			}
		})
	}
	shown := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(string(page))
	c := newClient(t, e, "http/1.1")
	c.login(`{"start": {"subject": "42"}}`)
	r := c.page("/")
	got := fields(t, r.app.Header.Get("x-session"))
	if want := fields(t, shown[1]); !slices.Equal(got, want) {
		t.Errorf("docs/app.md shows the fields %v; %v come", want, got)
	}
	for _, field := range got {
		if !regexp.MustCompile("(?m)^\\| .*`" + field + "`").MatchString(string(page)) {
			t.Errorf("docs/app.md does not say what %s is", field)
		}
	}
}

// fields are the names in a JSON object, sorted.
func fields(t *testing.T, text string) (names []string) {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
