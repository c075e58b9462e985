package filter

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// walk reads a list to its end.
func walk(raw string) (pairs [][2]string, ok bool) {
	l, ok := newHeaderList(raw)
	if !ok {
		return nil, false
	}
	for {
		name, value, more := l.next()
		if !more {
			return pairs, !l.broken
		}
		pairs = append(pairs, [2]string{name, value})
	}
}

func words(numbers ...uint32) string {
	var b []byte
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return string(b)
}

func TestHeaderList(t *testing.T) {
	pairs := [][2]string{{":path", "/"}, {"cookie", ""}, {"", "x"}, {"a", "b\x00c"}}
	good := serialise(pairs)
	got, ok := walk(good)
	if diff := cmp.Diff(pairs, got); diff != "" || !ok {
		t.Errorf("%v %s", ok, diff)
	}
	for n := range len(good) {
		if got, ok := walk(good[:n]); ok {
			t.Errorf("cut to %d bytes it reads as %q", n, got)
		}
	}
	for _, c := range []struct{ name, raw string }{
		{"nothing", ""},
		{"no count", "\x01\x00\x00"},
		{"count without sizes", words(1)},
		{"huge count", words(0xffffffff)},
		{"count whose sizes wrap to 0", words(0x20000000) + strings.Repeat("x", 64)},
		{"huge name", words(1, 0xffffffff, 0) + "ab"},
		{"huge value", words(1, 0, 0xffffffff) + "ab"},
		{"sizes that wrap together", words(1, 0x80000000, 0x80000000) + "ab"},
		{"sizes that wrap with the zeros", words(1, 0xffffffff, 0xffffffff) + "ab"},
		{"no room for the zeros", words(1, 1, 1) + "ab"},
		{"the second is cut", words(2, 1, 1, 1, 1) + "a\x00b\x00c"},
	} {
		if got, ok := walk(c.raw); ok {
			t.Errorf("%s: reads as %q", c.name, got)
		}
	}
	if got, ok := walk(words(0)); !ok || len(got) != 0 {
		t.Errorf("an empty list: %q %v", got, ok)
	}
	many := make([][2]string, 100_000)
	if got, ok := walk(serialise(many)); !ok || len(got) != len(many) {
		t.Errorf("%d of %d pairs", len(got), len(many))
	}
}

// Whatever the bytes, reading ends, stays inside them, and an accepted list reads back to itself.
func FuzzHeaderList(f *testing.F) {
	f.Add(serialise([][2]string{{":path", "/"}, {"cookie", "a=b"}}))
	f.Add(words(0xffffffff, 1, 2))
	f.Add(words(1, 0xffffffff, 0xffffffff) + "ab")
	f.Fuzz(func(t *testing.T, raw string) {
		pairs, ok := walk(raw)
		if !ok {
			return
		}
		again, ok := walk(serialise(pairs))
		if diff := cmp.Diff(pairs, again); diff != "" || !ok {
			t.Errorf("%v %s", ok, diff)
		}
	})
}
