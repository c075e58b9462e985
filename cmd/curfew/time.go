package main

import (
	"errors"
	"flag"
	"fmt"
	"time"
)

// timeFlag adds a flag for a time; not given, it stays zero.
func timeFlag(set *flag.FlagSet, at *time.Time, name, usage string) {
	set.Func(name, usage, func(text string) (err error) {
		if *at, err = time.Parse(time.RFC3339, text); err != nil || at.Unix() <= 0 {
			return errors.New("must be a time after 1970 such as 2026-11-20T08:00:00Z (RFC 3339)")
		}
		return nil
	})
}

// at is a time of a token as people read it.
func at(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// relative says how far a time is from now, in its two largest units.
func relative(unix, now int64) string {
	switch d := unix - now; {
	case d > 0:
		return "in " + span(d)
	case d < 0:
		return span(-d) + " ago"
	}
	return "now"
}

// span is a number of seconds in its two largest units.
func span(seconds int64) string {
	units := [...]struct {
		size int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}}
	for i, u := range units[:len(units)-1] {
		if next := units[i+1]; seconds >= u.size {
			s := fmt.Sprintf("%d%s", seconds/u.size, u.name)
			if rest := seconds % u.size / next.size; rest > 0 {
				s += fmt.Sprintf(" %d%s", rest, next.name)
			}
			return s
		}
	}
	return fmt.Sprintf("%ds", seconds)
}
