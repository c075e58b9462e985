package filter

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unsafe"

	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm"

	"github.com/curfew-proxy/curfew/policy"
)

// feed asks the app which sessions are over. One worker of this Envoy asks at a time; what it hears goes into
// data that all share and that outlives an update of the config and a VM.
type feed struct {
	config   *policy.Feed
	key      string // of the shared data
	since    int64  // when this config began, Unix seconds
	version  int64  // of the list that was read
	etag     string // of the answer it was in
	text     []byte // of an answer that is being read; kept for the next
	asked    int64  // when the question under way was asked, Unix seconds
	age      gauge
	entries  gauge
	failures counter
}

// feedState is what the shared data says of a feed, beside its last good answer.
type feedState struct {
	version int64 // counts the good answers that were new; 0: none yet
	at      int64 // as of when the last good one is, Unix seconds
	due     int64 // when to ask next, Unix seconds
	failed  int64 // times in a row
}

// Suffixes of the key under which the last good answer is: before where each part of it begins, and for its size and
// ETag.
const (
	feedPart = " answer "
	feedETag = " etag"
)

// part is how much of an answer passes through the VM's memory at once. The collector takes many words of the
// module's constants for pointers: of blocks of some hundred KiB, each would have one and stay for good.
const part = 16 << 10

func (f *feed) read() (s feedState, version uint32) {
	var n [4]int64
	version = sharedNumbers(f.key, n[:])
	return feedState{n[0], n[1], n[2], n[3]}, version
}

// update changes the state, whoever else does at the same moment.
func (f *feed) update(change func(*feedState)) (s feedState, ok bool) {
	for range 8 {
		s, version := f.read()
		change(&s)
		if f.write(s, version) {
			return s, true
		}
	}
	return s, false
}

func (f *feed) write(s feedState, version uint32) bool {
	return shareNumbers(f.key, version, s.version, s.at, s.due, s.failed)
}

// listen begins with what this Envoy has heard already. It reports false where the host takes no metrics.
func (p *plugin) listen() (ok bool) {
	f := &p.feed
	f.config = &p.config.Revoke.Feed
	if f.config.Cluster == "" {
		return true
	}
	// Of its secret, too, or a config with a wrong one would keep another with the right one from asking.
	secret := sha256.Sum256([]byte(f.config.Token))
	f.key = "curfew.feed " + hex.EncodeToString(secret[:8]) + " " + f.config.Cluster + " " + f.config.Authority + f.config.Path
	f.since = p.world.Now()
	if !f.age.define(&p.host, "feed_age_seconds") || !f.entries.define(&p.host, "feed_entries") || !f.failures.define(&p.host, "feed_failures") {
		return false
	}
	state, _ := f.read()
	p.hear(state)
	return true
}

// poll is the tick's: it takes what another worker heard, and asks if it is time to.
func (p *plugin) poll() {
	f := &p.feed
	if f.config.Cluster == "" {
		return
	}
	now := p.world.Now()
	state, version := f.read()
	// (Times to come were written before the clock was set back, or under a longer interval.)
	state.at = min(state.at, now)
	p.hear(state)
	if now >= state.due || state.due > now+f.config.Interval {
		state.due = now + f.config.Interval
		if f.write(state, version) {
			p.ask(now)
		}
	}
	at := state.at
	if at == 0 {
		at = f.since
	}
	f.age.set(&p.host, now-at)
	f.failures.flush(&p.host)
}

// hear takes the last good answer, if it is a new one.
func (p *plugin) hear(state feedState) {
	f := &p.feed
	p.heard.FeedAt = state.at
	if state.version == f.version {
		return
	}
	b, _, err := proxywasm.GetSharedData(f.key + feedETag)
	number, etag, _ := strings.Cut(string(b), " ")
	size, noSize := strconv.Atoi(number)
	if err != nil || noSize != nil || !f.take(size, f.sharedPart) {
		return
	}
	// It was good when it was written. (While the next one is being written this may be a bit of each: it is read again.)
	if list, err := policy.ParseRevocations(text(f.text)); err == nil {
		p.adopt(list, etag, state.version)
	}
}

// take reads an answer of that size, part by part.
func (f *feed) take(size int, get func(from, most int) ([]byte, error)) (ok bool) {
	if size < 0 || size > policy.MaxFeed {
		return false
	}
	if f.text = f.text[:0]; cap(f.text) < size {
		f.text = make([]byte, 0, min(2*size, policy.MaxFeed))
	}
	for len(f.text) < size {
		b, err := get(len(f.text), min(part, size-len(f.text)))
		if err != nil || len(b) == 0 || len(b) > size-len(f.text) {
			return false
		}
		f.text = append(f.text, b...)
	}
	return true
}

func (f *feed) sharedPart(from, _ int) ([]byte, error) {
	b, _, err := proxywasm.GetSharedData(f.key + feedPart + strconv.Itoa(from))
	return b, err
}

// put shares the answer that was read.
func (f *feed) put(etag string) (ok bool) {
	for from := 0; from < len(f.text); from += part {
		b := f.text[from:min(from+part, len(f.text))]
		if proxywasm.SetSharedData(f.key+feedPart+strconv.Itoa(from), b, 0) != nil {
			return false
		}
	}
	return proxywasm.SetSharedData(f.key+feedETag, []byte(strconv.Itoa(len(f.text))+" "+etag), 0) == nil
}

func (p *plugin) adopt(list *policy.Revocations, etag string, version int64) {
	f := &p.feed
	f.version, f.etag = version, etag
	p.heard.Feed = list
	f.entries.set(&p.host, int64(len(list.Subjects)+len(list.Sessions)))
	p.revokeStreams(list)
}

// text is b without a copy, for somebody who keeps none of it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// patience is how long an answer may take, in milliseconds: less than an interval, so that two hardly overlap.
func patience(interval int64) uint32 { return uint32(min(interval*1000-100, 5000)) }

func (p *plugin) ask(now int64) {
	f := &p.feed
	f.asked = now
	headers := [][2]string{
		{":method", "GET"}, {":scheme", "http"}, {":authority", f.config.Authority}, {":path", f.config.Path}, {"accept", "application/json"},
	}
	if f.config.Token != "" {
		headers = append(headers, [2]string{"authorization", "Bearer " + f.config.Token})
	}
	if f.etag != "" {
		headers = append(headers, [2]string{"if-none-match", f.etag})
	}
	if _, err := proxywasm.DispatchHttpCall(f.config.Cluster, headers, nil, nil, patience(f.config.Interval), p.answered); err != nil {
		p.refuse("Envoy has no cluster " + f.config.Cluster + ", or nothing in it")
	}
}

// answered takes the app's answer; without headers, none came.
func (p *plugin) answered(headers, size, _ int) {
	if headers == 0 {
		p.refuse("no answer came")
		return
	}
	status, etag := answerHeaders()
	state, _ := p.feed.read()
	switch {
	case state.at > p.feed.asked && state.at <= p.world.Now():
		p.hear(state) // another worker asked later, and was answered sooner
	case status == "304" && p.feed.etag != "":
		p.share(nil, "")
	case status != "200":
		p.refuse("the answer's status is " + status)
	case size > policy.MaxFeed:
		p.refuse("the answer is over " + strconv.Itoa(policy.MaxFeed) + " bytes")
	default:
		p.accept(etag, size)
	}
}

// answerHeaders reads the answer's status, and its ETag if it is fit to be sent back.
func answerHeaders() (status, etag string) {
	list, err := proxywasm.GetHttpCallResponseHeaders()
	if err != nil {
		return "unknown", ""
	}
	for _, h := range list {
		switch h[0] {
		case ":status":
			status = h[1] // the host's own three digits
		case "etag":
			if policy.ValidETag(h[1]) {
				etag = h[1]
			}
		}
	}
	return status, etag
}

// accept shares an answer if it is good.
func (p *plugin) accept(etag string, size int) {
	f := &p.feed
	if !f.take(size, proxywasm.GetHttpCallResponseBody) {
		p.refuse("the answer could not be read")
		return
	}
	list, err := policy.ParseRevocations(text(f.text))
	switch {
	case err != nil:
		p.refuse("the answer's " + err.Field + ": " + err.Rule)
	case f.put(etag):
		p.share(list, etag)
	}
}

// share tells all workers that the last good answer is as of when it was asked for. list is nil where it is the
// same as before.
func (p *plugin) share(list *policy.Revocations, etag string) {
	f := &p.feed
	state, ok := f.update(func(s *feedState) {
		s.at, s.failed = f.asked, 0
		if list != nil {
			s.version++
		}
	})
	if !ok {
		return
	}
	p.heard.FeedAt = state.at
	if list != nil {
		p.adopt(list, etag, state.version)
	}
}

// refuse keeps the last good answer, and asks again sooner than usual, less and less so. Only the first of
// several failures is logged; the counter has all.
func (p *plugin) refuse(why string) {
	f := &p.feed
	f.failures.pending++
	state, _ := f.update(func(s *feedState) {
		s.due = f.asked + min(f.config.Interval, 1<<min(max(s.failed, 0), 12))
		s.failed++
	})
	if state.failed == 1 {
		proxywasm.LogWarn("curfew: revoke.feed: " + why + "; the last good answer stays")
	}
}
