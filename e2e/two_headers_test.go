package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// readmeConfig is the one configuration that a README shows.
func readmeConfig(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 1 {
		t.Fatalf("%s shows %d configurations, want 1", path, len(blocks))
	}
	return string(blocks[0][1])
}

// onLocalhost does what the examples' READMEs say: it puts an example's configuration into a copy of envoy.yaml, and adds what plain
// http needs.
func onLocalhost(t *testing.T, app, config string) *envoy {
	t.Helper()
	var fields object
	if err := json.Unmarshal([]byte(config), &fields); err != nil {
		t.Fatal(err)
	}
	cookie, _ := fields["cookie"].(object)
	if cookie == nil {
		cookie = object{}
	}
	cookie["name"], cookie["secure"] = "session", false
	fields["cookie"], fields["allow_insecure"] = cookie, true
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	const value = "value: |\n"
	head, rest, _ := strings.Cut(recipe(t, app), value)
	_, tail, found := strings.Cut(rest, "\n                            }\n")
	if !found {
		t.Fatal("envoy.yaml has no JSON")
	}
	return startYAML(t, head+value+strings.Repeat(" ", 28)+string(text)+"\n"+tail)
}

// Node and Python with nothing but the two headers: the same questions, the same answers.
func TestTwoHeaders(t *testing.T) {
	for _, lang := range []struct{ folder, program, file string }{
		{"node", tool(t, "CURFEW_NODE"), "app.js"},
		{"python", tool(t, "CURFEW_PYTHON"), "app.py"},
	} {
		t.Run(lang.folder, func(t *testing.T) {
			folder := "../examples/" + lang.folder + "/"
			app, clk, config := startApp(t, lang.program, folder+lang.file), newClock(t), readmeConfig(t, folder+"README.md")
			t.Run("on localhost", func(t *testing.T) {
				countVisits(&shopTest{T: t, e: onLocalhost(t, app.addr, config), proto: "plain"})
			})
			e := start(t, setup{app: app.addr, env: map[string]string{"CURFEW_KEY": newKey()}, clock: clk, config: config})
			for _, proto := range protocols {
				for _, tt := range []struct {
					name string
					test func(s *shopTest)
				}{
					{"login visits logout", countVisits},
					{"wrong logins", wrongLogins},
					{"login from other sites", loginFromElsewhere},
					{"idle", idleVisitor},
					{"two browsers", visitsApart},
				} {
					t.Run(tt.name+"/"+proto, func(t *testing.T) { tt.test(&shopTest{t, e, clk, proto}) })
				}
			}
			t.Run("the app keeps nothing", func(t *testing.T) {
				p := newShopper(t, e, "h2").open("/").enter("alice")
				app.stop()
				app.start()
				eventually(t, "Envoy finds the app again", func() bool { return p.open("/login").last.StatusCode == 200 })
				p.open("/").sees("Hello, alice", "Visits: 2")
			})
		})
	}
}

func countVisits(s *shopTest) {
	p := s.person()
	p.open("/").isAt("/login?next=/&reason=absent").sees("Log in").enter("alice").isAt("/").sees("Hello, alice", "Visits: 1")
	p.open("/").sees("Visits: 2")
	p.open("/favicon.ico").open("/").sees("Visits: 3")
	p.submit("/logout").isAt("/login?next=/&reason=absent")
	p.enter("bob").sees("Hello, bob", "Visits: 1")
}

func wrongLogins(s *shopTest) {
	p := s.person()
	for _, pairs := range [][]string{
		{"user", "alice", "password", "demo-bob"}, {"user", "", "password", ""}, {"user", "carol", "password", ""}, {"user", "constructor", "password", "x"},
		{"user", "<b>", "password", "<b>"}, {"user", "al\x00ice", "password", "\xff"},
	} {
		if p.open("/login").submit("/login", pairs...).sees("Wrong user or password"); p.last.StatusCode != 401 {
			s.Errorf("%q: %d", pairs, p.last.StatusCode)
		}
	}
	if r := p.do("POST", "/login", ""); r.StatusCode != 401 {
		s.Errorf("an empty form: %d", r.StatusCode)
	}
	p.open("/").isAt("/login?next=/&reason=absent")
}

func loginFromElsewhere(s *shopTest) {
	for line, want := range map[string]int{
		"Sec-Fetch-Site: cross-site": 403, "Sec-Fetch-Site: same-site": 403, "Sec-Fetch-Site: same-origin": 303, "Sec-Fetch-Site: none": 303, "Accept: */*": 303,
	} {
		r := s.person().do("POST", "/login", "user=alice&password=demo-alice", line, "Content-Type: application/x-www-form-urlencoded")
		if r.StatusCode != want || (len(r.Header.Values("set-cookie")) > 0) != (want == 303) {
			s.Errorf("%s: %d %v", line, r.StatusCode, r.Header)
		}
	}
}

func idleVisitor(s *shopTest) {
	p := s.person()
	p.open("/").enter("alice")
	s.clk.advance(s, 14*time.Minute)
	p.open("/").sees("Visits: 2")
	s.clk.advance(s, 16*time.Minute)
	p.open("/").isAt("/login?next=/&reason=idle_timeout").enter("alice").sees("Visits: 1")
}

func visitsApart(s *shopTest) {
	var wg sync.WaitGroup
	for range 3 {
		for _, user := range []string{"alice", "bob"} {
			wg.Go(func() {
				p := s.person()
				p.open("/").enter(user)
				for n := 2; n <= 8; n++ {
					p.open("/").sees("Hello, "+user, "Visits: "+strconv.Itoa(n))
				}
			})
		}
	}
	wg.Wait()
}
