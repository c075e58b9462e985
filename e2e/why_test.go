package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// whyConfig ends sessions early, and those of one person.
const whyConfig = `{"keys": [{"id": "%s", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"},
	"timeouts": {"idle": "15m", "absolute": "1h"}, "revoke": {"subjects": {"gone": "2026-11-21T12:30:00Z"}}}`

// startLogging starts an Envoy with the access log that docs/watching.md shows, as it stands there.
func startLogging(t *testing.T, s setup) *envoy {
	t.Helper()
	dir := t.TempDir()
	config := bootstrap(t, s, dir)
	part := func(name string) string {
		b, err := json.Marshal(config[name])
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`"access_log":\[[^\]]*\]`).ReplaceAllString(string(b), `"access_log": *log`)
	}
	shown := regexp.MustCompile("(?s)```yaml\naccess_log:\n(.*?)```").FindStringSubmatch(text(t, "../docs/watching.md"))
	if shown == nil {
		t.Fatal("docs/watching.md shows no access log")
	}
	// Envoy does not care what is in a node's metadata, so this is where YAML can give a thing a name.
	yaml := "node:\n  id: test\n  cluster: test\n  metadata:\n    log: &log\n    " + strings.ReplaceAll(shown[1], "\n", "\n    ") +
		"\nadmin: " + part("admin") + "\nstatic_resources: " + part("static_resources") + "\n"
	if strings.Count(yaml, "*log") != 2 {
		t.Fatalf("no access log to replace in %s", yaml)
	}
	path := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	e := s.run(t, path)
	e.serves(e.findListeners)
	return e
}

// The recipe for Istio logs what the one for Envoy does, which TestWhy runs; so does our file for Envoy, but for the person.
func TestAccessLogOfIstio(t *testing.T) {
	page := text(t, "../docs/watching.md")
	_, istio, found := strings.Cut(page, "accessLogFormat: |\n")
	var fields map[string]string
	if err := json.NewDecoder(strings.NewReader(istio)).Decode(&fields); err != nil || !found {
		t.Fatalf("accessLogFormat is no JSON: %v", err)
	}
	_, envoy, _ := strings.Cut(page, "json_format:\n")
	envoy, _, _ = strings.Cut(envoy, "```")
	if len(fields) != strings.Count(envoy, "\n") || fields["session"] == "" {
		t.Errorf("Istio's has %d fields, Envoy's are\n%s", len(fields), envoy)
	}
	plain := text(t, "../deploy/envoy/envoy.yaml")
	for name, value := range fields {
		if name != "subject" && !strings.Contains(plain, " "+name+`: "`+value+"\"\n") {
			t.Errorf("deploy/envoy/envoy.yaml has no %s: %s", name, value)
		}
		if !strings.Contains(envoy, " "+name+`: "`+value+"\"\n") {
			t.Errorf("Envoy's has no %s: %s", name, value)
		}
	}
}

// steps are the commands of docs/why.md: first the variables, then what to run.
func steps(t *testing.T) (variables string, commands []string) {
	t.Helper()
	for i, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text(t, "../docs/why.md"), -1) {
		if i == 0 {
			variables = m[1]
			continue
		}
		commands = append(commands, m[1])
	}
	if len(commands) != 3 {
		t.Fatalf("docs/why.md shows %d commands", len(commands))
	}
	return variables, commands
}

// investigation is what the person on call has.
type investigation struct {
	t         *testing.T
	variables string
	at        time.Time
	log       string // a file
	path      string
}

// run runs a command of the page, with the page's own variables about another case.
func (i *investigation) run(command string) string {
	i.t.Helper()
	script := "set -eu\n" + i.variables + fmt.Sprintf("log=%s at=%s path=%s\n", i.log, i.at.Format("15:04"), i.path) + command
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(tool(i.t, "CURFEW_JQ"))+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		i.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// From "I was logged out at ..." to the reason, by the three steps of docs/why.md with its very commands.
func TestWhy(t *testing.T) {
	variables, commands := steps(t)
	clk, app, key := newClock(t), newApp(t), newKey()
	e := startLogging(t, setup{app: app, clock: clk, env: map[string]string{"CURFEW_KEY": key}, config: fmt.Sprintf(whyConfig, "2026-11")})
	other := startLogging(t, setup{app: app, clock: clk, env: map[string]string{"CURFEW_KEY": newKey()}, config: fmt.Sprintf(whyConfig, "2027-05")})
	for n, c := range []struct {
		reason, then, subject string          // of the request at the end, and of the one after it
		live                  []time.Duration // between pages that are still served
		end                   time.Duration
		proxy                 *envoy
	}{
		{"idle_timeout", "absent", "42", []time.Duration{10 * time.Minute}, 16 * time.Minute, e},
		{"absolute_timeout", "absent", "42", []time.Duration{14 * time.Minute, 14 * time.Minute, 14 * time.Minute, 14 * time.Minute}, 5 * time.Minute, e},
		{"revoked", "absent", "gone", []time.Duration{14 * time.Minute, 14 * time.Minute}, 5 * time.Minute, e},
		{"invalid", "invalid", "42", []time.Duration{5 * time.Minute}, 5 * time.Minute, other},
	} {
		t.Run(c.reason, func(t *testing.T) {
			clk.set(t, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
			path := fmt.Sprintf("/cart%d", n)
			person := newClient(t, e, "h2")
			person.login(`{"start":{"subject":"` + c.subject + `"}}`)
			for _, d := range c.live {
				clk.advance(t, d)
				if r := person.page(path); r.StatusCode != 200 {
					t.Fatalf("after %v: %d", d, r.StatusCode)
				}
			}
			clk.advance(t, c.end)
			person.base = newClient(t, c.proxy, "h2").base
			for range 2 {
				if r := person.page(path + "?item=7"); r.StatusCode != 302 {
					t.Fatalf("at the end: %d", r.StatusCode)
				}
			}
			i := &investigation{t, variables, clk.now, filepath.Join(t.TempDir(), "envoy.log"), path}
			i.waitForLog(2, e, other)
			hash := i.request(commands[0], c.reason, c.then)
			if c.reason == "invalid" {
				if hash != "" {
					t.Errorf("what was no session has the hash %s", hash)
				}
				if got := i.run(commands[2]); !regexp.MustCompile(`^ +2 ` + clk.now.Format("2006-01-02T15:04") + "\n$").MatchString(got) {
					t.Errorf("invalid by the minute: %q", got)
				}
			} else {
				if want := lastStart(t, e); hash != want {
					t.Fatalf("the access log has the session %q, the log %s", hash, want)
				}
				i.session(commands[1], c.reason, hash)
			}
			if !regexp.MustCompile("(?m)^\\| .*`" + c.reason + "`.* \\| .+ \\| .+ \\|$").MatchString(text(t, "../docs/why.md")) {
				t.Errorf("docs/why.md does not say what to do about %s", c.reason)
			}
		})
	}
}

// A stream that is cut is found at the time when it began, by the hash of its session.
func TestWhyStream(t *testing.T) {
	variables, commands := steps(t)
	how := setup{env: map[string]string{"CURFEW_KEY": newKey()}, config: fmt.Sprintf(whyConfig, "2026-11"), streams: true, clock: newClock(t)}
	s := &scene{t: t, app: newStreamApp(t), clk: how.clock, began: how.clock.now}
	how.app = s.app.addr
	s.e = startLogging(t, how)
	c := s.in(`{"start":{"subject":"42"}}`)
	i := &investigation{t, variables, s.began, filepath.Join(t.TempDir(), "envoy.log"), "/download"}
	alive(t, c, "before the stream")
	stream := s.download("h2", i.path, c.saved())
	s.clk.advance(t, 15*time.Minute)
	over(stream)
	i.waitForLog(1, s.e)
	hash := lastStart(t, s.e)
	if found := i.requests(commands[0]); len(found) != 1 || found[0].Reason != "idle_timeout" || found[0].Session != hash {
		t.Errorf("want an idle_timeout of %s: %+v", hash, found)
	}
	if n := strings.Count(s.e.log.String(), `"session":"`+hash+`"`); n != 3 { // its start, the login's line, the stream's
		t.Errorf("%d lines have %s:\n%s", n, hash, s.e.log)
	}
}

// lastStart is the hash of the session that began last.
func lastStart(t *testing.T, e *envoy) (hash string) {
	t.Helper()
	for _, ev := range e.events(t) {
		if ev.Curfew == "session_start" {
			hash = ev.Session
		}
	}
	return hash
}

// waitForLog writes what the proxies have logged, once so many requests of the path and minute are in it.
func (i *investigation) waitForLog(requests int, proxies ...*envoy) {
	i.t.Helper()
	eventually(i.t, "the access log has the last requests", func() bool {
		var all strings.Builder
		// Somebody else's, at the same time.
		fmt.Fprintf(&all, `[%s:00.000] {"curfew":"session_end","reason":"idle_timeout","session":"0123456789abcdef"}`+"\n", i.at.Format("2006-01-02 15:04"))
		for _, e := range proxies {
			all.WriteString(e.log.String())
		}
		if err := os.WriteFile(i.log, []byte(all.String()), 0o600); err != nil {
			i.t.Fatal(err)
		}
		return len(i.lines(all.String())) == requests
	})
}

// lines are the access log's of this path in this minute.
func (i *investigation) lines(log string) (found []string) {
	for _, line := range strings.Split(log, "\n") {
		if strings.HasPrefix(line, "{") && strings.Contains(line, i.at.Format("2006-01-02T15:04")) && strings.Contains(line, `"`+i.path+`"`) {
			found = append(found, line)
		}
	}
	return found
}

// accessLine is one of the access log.
type accessLine struct {
	Time, Path, Client, Method, Reason, Session string
	Status                                      int
	Subject                                     *string
}

// requests are what step 1 finds.
func (i *investigation) requests(command string) (found []accessLine) {
	i.t.Helper()
	d := json.NewDecoder(strings.NewReader(i.run(command)))
	for d.More() {
		var line accessLine
		if err := d.Decode(&line); err != nil {
			i.t.Fatal(err)
		}
		if line.Path != i.path || line.Method != "GET" || line.Client != "127.0.0.1" {
			i.t.Errorf("%+v", line)
		}
		found = append(found, line)
	}
	return found
}

// request is step 1 with two requests: the first says why, and by its hash whose.
func (i *investigation) request(command, reason, then string) (hash string) {
	i.t.Helper()
	found := i.requests(command)
	if len(found) != 2 || found[0].Reason != reason || found[1].Reason != then || found[1].Session != "" {
		i.t.Fatalf("want %s, then %s without a session: %+v", reason, then, found)
	}
	for _, line := range found {
		if line.Status != 302 || line.Subject != nil {
			i.t.Errorf("%+v", line)
		}
	}
	return found[0].Session
}

// session is step 2: what began, by which request, what ended and by which.
func (i *investigation) session(command, reason, hash string) {
	i.t.Helper()
	shown := regexp.MustCompile(`(?m)^hash=[0-9a-f]{16} `)
	if !shown.MatchString(command) {
		i.t.Fatalf("no hash to replace in %s", command)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(i.run(shown.ReplaceAllString(command, "hash="+hash+" "))), "\n") {
		var said struct{ Curfew, Path, Reason, Session string }
		if err := json.Unmarshal([]byte(line[max(strings.Index(line, "{"), 0):]), &said); err != nil || said.Session != hash {
			i.t.Errorf("%q: %v", line, err)
		}
		got = append(got, said.Curfew+said.Path+" "+said.Reason)
	}
	slices.Sort(got) // the access log is written a little later
	want := []string{i.path + " " + reason, "/login started", "session_end " + reason, "session_start started"}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		i.t.Errorf("what happened to %s: %q, want %q", hash, got, want)
	}
}
