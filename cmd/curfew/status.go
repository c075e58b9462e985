package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

var status = command{
	name: "status", args: "[-once] [-json] [-interval 2s] URL...",
	does: "show what proxies are doing: decisions, sessions, keys, the feed, memory",
	about: "A URL is that of a proxy's admin port, such as http://127.0.0.1:9901, or of a page in Prometheus' format, such as http://POD:15020/stats/prometheus in Istio. " +
		"Of several proxies the table is the sum; of memory, and of the feed's age and entries, it has the highest.\n" +
		"On a terminal the table is read anew until Ctrl-C. Elsewhere it is read once, and the exit status is 1 where a proxy did not answer or has no counters of Curfew.",
	examples: []example{
		{"watch a proxy", "curfew status http://127.0.0.1:9901"},
		{"keep what two proxies have counted so far", "curfew status -json http://127.0.0.1:9901 http://127.0.0.1:9902 > counted.json"},
	},
	flags: statusFlags,
}

func statusFlags(set *flag.FlagSet) func(*terminal, []string) error {
	once := set.Bool("once", false, "read once, on a terminal, too")
	asJSON := set.Bool("json", false, "read once and print one JSON object")
	interval := set.Duration("interval", 2*time.Second, "`DURATION` from one reading to the next, 1s or more; the filter tells Envoy twice a second")
	return func(t *terminal, args []string) error {
		if len(args) == 0 {
			return t.misused("status: give the URL of each proxy's admin port, such as http://127.0.0.1:9901, or of its metrics page")
		}
		if *interval < time.Second {
			return t.misused("status: -interval %v is too short; give 1s or more", *interval)
		}
		var proxies []*proxy
		for _, arg := range args {
			p, err := newProxy(arg)
			if err != nil {
				return t.misused("status: %v", err)
			}
			proxies = append(proxies, p)
		}
		if screen := t.screen(); screen != nil && !*once && !*asJSON {
			return t.statusLive(screen, proxies, *interval)
		}
		return t.statusOnce(proxies, *asJSON)
	}
}

// screen is the terminal that the output goes to, or nil.
func (t *terminal) screen() *os.File {
	w := t.out
	if s, ok := w.(*sink); ok {
		w = s.w
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// statusOnce fails where not all proxies answered.
func (t *terminal) statusOnce(proxies []*proxy, asJSON bool) error {
	readAll(context.Background(), proxies, t.now)
	if asJSON {
		if err := json.NewEncoder(t.out).Encode(newReport(proxies, t.now())); err != nil {
			return err
		}
	} else if answered(proxies) > 0 {
		fmt.Fprint(t.out, table(proxies, t.now()))
	}
	return t.silent(proxies)
}

// silent says which proxies did not answer, and fails if there are any.
func (t *terminal) silent(proxies []*proxy) (err error) {
	for _, p := range proxies {
		if p.err != nil {
			fmt.Fprintf(t.err, "curfew: %s: %v\n", p.name(), p.err)
			err = errFound
		}
	}
	return err
}

func answered(proxies []*proxy) (n int) {
	for _, p := range proxies {
		if p.err == nil {
			n++
		}
	}
	return n
}

// What a terminal is told (ECMA-48, xterm): a screen of its own and no cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// statusLive shows the table until Ctrl-C and leaves the last one behind.
func (t *terminal) statusLive(screen *os.File, proxies []*proxy, interval time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	readAll(ctx, proxies, t.now)
	if ctx.Err() != nil {
		return nil
	}
	if answered(proxies) == 0 {
		return t.silent(proxies)
	}
	fmt.Fprint(screen, enterScreen)
	every := time.NewTicker(interval)
	defer every.Stop()
	for ctx.Err() == nil {
		draw(screen, screen.Fd(), table(proxies, t.now()))
		select {
		case <-every.C:
			readAll(ctx, proxies, t.now)
		case <-ctx.Done():
		}
	}
	fmt.Fprint(screen, leaveScreen)
	fmt.Fprint(screen, table(proxies, t.now()))
	return nil
}

// draw overwrites the screen, without a flicker; what does not fit is cut off.
func draw(w io.Writer, fd uintptr, text string) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if width, height, err := term.GetSize(int(fd)); err == nil && height > 1 && width > 1 {
		if len(lines) > height {
			lines = append(lines[:height-1], "(more lines than this terminal has)")
		}
		for i, line := range lines {
			if cells := []rune(line); len(cells) > width {
				lines[i] = string(cells[:width])
			}
		}
	}
	fmt.Fprint(w, toTop, strings.Join(lines, clearLine+"\n"), clearLine, clearBelow)
}
