package main

import (
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// Scripts with proxies: $ONE and $TWO serve the script's files below one/ and two/; $TLS speaks it, $PLAIN is the same
// and $ENCRYPTED is $ONE, each with the wrong scheme; $GONE listens no more.
func TestStatusScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/status", UpdateScripts: *update, RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"ONE", "TWO"} {
				srv := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(env.WorkDir, strings.ToLower(name)))))
				env.Defer(srv.Close)
				env.Setenv(name, srv.URL)
			}
			srv := httptest.NewUnstartedServer(http.NotFoundHandler())
			srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the script lets fail
			srv.StartTLS()
			env.Defer(srv.Close)
			env.Setenv("TLS", srv.URL)
			env.Setenv("PLAIN", "http"+strings.TrimPrefix(srv.URL, "https"))
			env.Setenv("ENCRYPTED", "https"+strings.TrimPrefix(env.Getenv("ONE"), "http"))
			gone := httptest.NewServer(http.NotFoundHandler())
			gone.Close()
			env.Setenv("GONE", gone.URL)
			return nil
		},
	})
}

// What labels, timestamps and other metrics do to a page is nothing to Curfew's.
func TestParsePage(t *testing.T) {
	page := `# TYPE curfew_ok counter
curfew_ok{} 5
curfew_ok{pod="a b",note="} 9"} 7 1795262400000
curfew_invalid 2
curfew_key_2026_11{} 1e3
# HELP curfew_absent not a value
curfew_memory_pages{worker="1"} 8
curfew_memory_pages{worker="2"} 11
curfew_broken{} many
envoy_server_live{} 1
`
	got, err := parsePage(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"curfew_ok": 12, "curfew_invalid": 2, "curfew_key_2026_11": 1000, "curfew_memory_pages": 11}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Rates are of each proxy's own readings, so that one that is silent or begins anew bends none of the sum.
func TestRates(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	one, err := newProxy("one:9901")
	if err != nil {
		t.Fatal(err)
	}
	two, err := newProxy("two:9901")
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		one, two float64 // curfew_ok; negative: no answer
		total    float64
		perS     map[string]float64
	}{
		{100, 50, 150, nil},
		{120, 54, 174, map[string]float64{"curfew_ok": 12}},
		{-1, 58, 178, map[string]float64{"curfew_ok": 2}},
		{140, 58, 198, map[string]float64{"curfew_ok": 5}}, // over the four seconds since it last answered
		{6, 58, 64, map[string]float64{"curfew_ok": 3}},    // one began anew
		{6, 58, 64, map[string]float64{}},
	} {
		now := start.Add(time.Duration(2*i) * time.Second)
		for p, v := range map[*proxy]float64{one: step.one, two: step.two} {
			if v < 0 {
				p.take(nil, http.ErrServerClosed, now)
				continue
			}
			p.take(map[string]float64{"curfew_ok": v}, nil, now)
		}
		values, risen, _ := sum([]*proxy{one, two})
		if values["curfew_ok"] != step.total || !maps.Equal(risen, step.perS) || (risen == nil) != (step.perS == nil) {
			t.Errorf("step %d: total %v, rates %v; want %v, %v", i, values["curfew_ok"], risen, step.total, step.perS)
		}
	}
}

// A key that nobody uses any more shows when it last was.
func TestLastRise(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	p, err := newProxy("one:9901")
	if err != nil {
		t.Fatal(err)
	}
	for i, old := range []float64{3, 4, 4, 4} {
		p.take(map[string]float64{"curfew_key_2026_05": old, "curfew_key_2026_11": float64(10 * i)}, nil, start.Add(time.Duration(2*i)*time.Second))
	}
	text := table([]*proxy{p}, p.at)
	for _, row := range []string{`(?m)^  2026_05 +4 +0\.0 +4s$`, `(?m)^  2026_11 +30 +5\.0 +0s$`} {
		if !regexp.MustCompile(row).MatchString(text) {
			t.Errorf("no row %s in\n%s", row, text)
		}
	}
}

// On a terminal the table is drawn again, and Ctrl-C gives the terminal back with the last one on it.
func TestLive(t *testing.T) {
	ok := make(chan int, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		select {
		case n = <-ok:
		default:
		}
		_, _ = w.Write([]byte("curfew_ok{} " + strings.Repeat("7", n+1) + "\n"))
	}))
	t.Cleanup(srv.Close)
	run, screen := onTerminal(t, "status", "-interval", "1s", srv.URL)
	screen.waitFor(t, `  ok +7 +-`)
	ok <- 2
	screen.waitFor(t, `  ok +777 +\d+\.\d +0s`)
	if !strings.HasPrefix(screen.String(), "\x1b[?1049h\x1b[?25l") {
		t.Errorf("it does not begin with a screen of its own: %q", screen)
	}
	screen.write(t, "\x03")
	if err := run.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	screen.waitFor(t, `\x1b\[\?25h\x1b\[\?1049lcurfew: 1 of 1 answer[^\x1b]*memory: `)
}
