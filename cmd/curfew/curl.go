package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/curfew-proxy/curfew/policy"
)

// httpRequest is a request as curl would send it.
type httpRequest struct {
	method, scheme, authority string
	path                      string      // with its query
	headers                   [][2]string // names in lower case, as Envoy has them
	notes                     []string    // what of the command line was not looked at
}

// curlCommand is what a curl command line says, as far as a request's head depends on it.
type curlCommand struct {
	url, method     string
	data            []string
	cookies         []string
	headers         [][2]string
	dropped         []string // headers of curl's own that shall not be sent
	contentType     string
	head, get, asIs bool
	upload          bool
	notes           []string
}

// parseCurl reads a curl command as people paste it into bash; with or without the word curl in front.
func parseCurl(line string) (*httpRequest, error) {
	if strings.Contains(line, `^"`) || strings.Contains(line, "^\n") {
		return nil, errors.New("this is a command line for Windows; copy the request as cURL (bash)")
	}
	c := &curlCommand{}
	words, err := shellWords(strings.ReplaceAll(line, "\r\n", "\n"), func(name string) string {
		if name != "IFS" && name != "PWD" { // which the library asks for itself
			c.note("$" + name + " is empty: a variable has no value here")
		}
		return ""
	})
	if err != nil {
		return nil, fmt.Errorf("the request is not one command as bash reads it: %w; put its URL and headers in single quotes", err)
	}
	if len(words) > 0 && words[0] == "curl" {
		words = words[1:]
	}
	if err := c.take(words); err != nil {
		return nil, err
	}
	return c.request()
}

// shellWords takes bash's quotes off words. It runs no command and expands no braces and no stars.
func shellWords(line string, env func(string) string) (words []string, err error) {
	config := &expand.Config{Env: expand.FuncEnviron(env)}
	for w, err := range syntax.NewParser().WordsSeq(strings.NewReader(line)) {
		if err != nil {
			return nil, err
		}
		word, err := expand.Literal(config, w)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	return words, nil
}

func (c *curlCommand) note(s string) {
	if !slices.Contains(c.notes, s) {
		c.notes = append(c.notes, s)
	}
}

// Curl's short flags that take a value, long flags that do, and those that do not change a request's head. (curl,
// manual page.) What stands in none of them is noted and taken for one without a value.
const shortWithValue = "AbcCdDeEFHKmoPQrtTuUwxXyYz"

var (
	shortNames = map[byte]string{'X': "request", 'H': "header", 'b': "cookie", 'd': "data", 'F': "form", 'A': "user-agent", 'e': "referer",
		'I': "head", 'G': "get", 'T': "upload-file", 'u': "user"}
	longWithValue = strings.Fields(`abstract-unix-socket cacert capath cert cert-type ciphers config connect-timeout connect-to continue-at cookie-jar create-file-mode
		dns-interface dns-servers doh-url dump-header engine hostpubmd5 interface ip-tos ipfs-gateway keepalive-time key key-type krb limit-rate local-port max-filesize
		max-redirs max-time netrc-file noproxy oauth2-bearer output output-dir parallel-max pass pinnedpubkey preproxy proto proto-default proto-redir proxy proxy-header
		proxy-user quote rate range resolve retry retry-delay retry-max-time socks4 socks4a socks5 socks5-hostname speed-limit speed-time stderr telnet-option
		time-cond tls-max tls13-ciphers trace trace-ascii unix-socket user variable write-out aws-sigv4 form-string happy-eyeballs-timeout-ms`)
	harmless = strings.Fields(`compressed insecure location silent show-error verbose include fail fail-with-body globoff http0.9 http1.0 http1.1 http2 http2-prior-knowledge
		http3 ipv4 ipv6 no-buffer no-progress-meter progress-bar remote-name tlsv1.2 tlsv1.3 tcp-nodelay`)
	harmlessShort = "0123456agikLNnOsSvfj#"
)

// take goes through the words.
func (c *curlCommand) take(words []string) error {
	for i := 0; i < len(words); i++ {
		word := words[i]
		value := func() (string, error) {
			if i++; i == len(words) {
				return "", fmt.Errorf("the request ends after %s, which needs a value; copy all of it", word)
			}
			return words[i], nil
		}
		var err error
		switch {
		case strings.HasPrefix(word, "--") && len(word) > 2:
			err = c.long(word[2:], value)
		case strings.HasPrefix(word, "-") && len(word) > 1:
			err = c.short(word[1:], value)
		default:
			err = c.setURL(word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// short takes a word of short flags: the value of the last may stand in the word itself.
func (c *curlCommand) short(flags string, value func() (string, error)) error {
	for i := 0; i < len(flags); i++ {
		name := shortNames[flags[i]]
		if !strings.Contains(shortWithValue, flags[i:i+1]) {
			switch {
			case name != "":
				c.without(name)
			case !strings.Contains(harmlessShort, flags[i:i+1]):
				c.note("-" + flags[i:i+1] + " is not looked at")
			}
			continue
		}
		rest := flags[i+1:]
		if rest == "" {
			var err error
			if rest, err = value(); err != nil {
				return err
			}
		}
		if name == "" {
			return nil
		}
		return c.with(name, rest)
	}
	return nil
}

func (c *curlCommand) long(name string, value func() (string, error)) error {
	if c.without(name) {
		return nil
	}
	known := slices.Contains(longWithValue, name)
	if !known && !takesValue(name) {
		c.note("--" + name + " is not looked at")
		return nil
	}
	v, err := value()
	if err != nil {
		return err
	}
	if known && name != "user" {
		return nil
	}
	return c.with(name, v)
}

// without takes a flag that has no value, and reports whether it is one that is known.
func (c *curlCommand) without(name string) bool {
	switch name {
	case "head":
		c.head = true
	case "get":
		c.get = true
	case "path-as-is":
		c.asIs = true
	default:
		return slices.Contains(harmless, name)
	}
	return true
}

func takesValue(name string) bool {
	switch name {
	case "request", "header", "cookie", "data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json", "form", "user-agent", "referer", "upload-file", "url", "url-query", "user":
		return true
	}
	return false
}

// with takes a flag and its value.
func (c *curlCommand) with(name, value string) error {
	switch name {
	case "request":
		c.method = value
	case "url":
		return c.setURL(value)
	case "header":
		return c.header(value)
	case "cookie":
		if !strings.Contains(value, "=") {
			return errors.New("-b names a file of cookies; give the cookies themselves: -b 'NAME=VALUE; NAME=VALUE'")
		}
		c.cookies = append(c.cookies, value)
	case "referer":
		c.headers = append(c.headers, [2]string{"referer", strings.TrimSuffix(value, ";auto")})
	case "json":
		c.contentType = "application/json"
		c.headers = append(c.headers, [2]string{"accept", "application/json"})
		c.data = append(c.data, value)
	case "form":
		c.contentType = "multipart/form-data; boundary=curfew"
		c.data = append(c.data, "")
	case "upload-file":
		c.upload = true
	case "user-agent", "url-query", "user":
		c.note("--" + name + " is not looked at")
	default: // the kinds of data
		c.data = append(c.data, value)
	}
	return nil
}

func (c *curlCommand) setURL(u string) error {
	if c.url != "" {
		return errors.New("the request has two URLs; give one, with all else in quotes")
	}
	c.url = u
	return nil
}

// header takes a line of -H: "Name: value", "Name:" for none of that name, "Name;" for an empty one.
func (c *curlCommand) header(line string) error {
	if strings.HasPrefix(line, "@") {
		return errors.New("-H names a file of headers; give the headers themselves: -H 'NAME: VALUE'")
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		if name, ok = strings.CutSuffix(line, ";"); !ok {
			c.note("a -H without a colon is not sent")
			return nil
		}
	} else if value = strings.TrimSpace(value); value == "" {
		c.dropped = append(c.dropped, strings.ToLower(strings.TrimSpace(name)))
		return nil
	}
	c.headers = append(c.headers, [2]string{strings.ToLower(strings.TrimSpace(name)), value})
	return nil
}

// request puts the parts together as curl does.
func (c *curlCommand) request() (*httpRequest, error) {
	r := &httpRequest{method: c.method, notes: c.notes}
	if err := c.splitURL(r); err != nil {
		return nil, err
	}
	switch {
	case r.method != "":
	case c.head:
		r.method = "HEAD"
	case c.upload:
		r.method = "PUT"
	case len(c.data) > 0 && !c.get:
		r.method = "POST"
	default:
		r.method = "GET"
	}
	headers := c.headers
	if len(c.data) > 0 && !c.get {
		headers = c.unless(headers, "content-type", cmp.Or(c.contentType, "application/x-www-form-urlencoded"))
	}
	headers = c.unless(headers, "accept", "*/*")
	for _, h := range headers {
		if h[0] == "host" {
			r.authority = h[1]
			continue
		}
		r.headers = append(r.headers, h)
	}
	if len(c.cookies) > 0 {
		r.headers = append(r.headers, [2]string{"cookie", strings.Join(c.cookies, "; ")})
	}
	return r, nil
}

// unless adds a header of curl's own where the command has none of that name and does not forbid it.
func (c *curlCommand) unless(headers [][2]string, name, value string) [][2]string {
	if slices.Contains(c.dropped, name) || slices.ContainsFunc(headers, func(h [2]string) bool { return h[0] == name }) {
		return headers
	}
	return append(headers, [2]string{name, value})
}

// splitURL takes the URL apart without a look at what is in its parts: a hostile path must stay one.
func (c *curlCommand) splitURL(r *httpRequest) error {
	if c.url == "" {
		return errors.New("the request has no URL; give it as curl takes it: curl 'https://shop.example/page' -H 'accept: text/html'")
	}
	scheme, rest, ok := strings.Cut(c.url, "://")
	if !ok {
		scheme, rest = "http", c.url
	}
	rest, _, _ = strings.Cut(rest, "#")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	r.scheme, r.authority, r.path = strings.ToLower(scheme), rest[:end], rest[end:]
	if at := strings.LastIndexByte(r.authority, '@'); at >= 0 {
		r.authority = r.authority[at+1:]
	}
	if r.scheme != "http" && r.scheme != "https" || r.authority == "" {
		return fmt.Errorf("%q is no URL of http or https; give one such as https://shop.example/page", c.url)
	}
	if !strings.HasPrefix(r.path, "/") {
		r.path = "/" + r.path
	}
	if c.get && len(c.data) > 0 {
		sep := "?"
		if strings.Contains(r.path, "?") {
			sep = "&"
		}
		r.path += sep + strings.Join(c.data, "&")
	}
	if !c.asIs {
		r.path = withoutDots(r.path)
	}
	return nil
}

// withoutDots takes dot segments out of a path, as curl does before it sends one (RFC 3986, section 5.2.4).
func withoutDots(path string) string {
	p, query, _ := strings.Cut(path, "?")
	if !strings.Contains(p, "/.") {
		return path
	}
	u, err := url.Parse(p)
	if err != nil || u.Host != "" {
		return path
	}
	p = (&url.URL{Path: "/"}).ResolveReference(u).EscapedPath()
	if query != "" {
		p += "?" + query
	}
	return p
}

// asPolicy is the request as the filter reads it, and the names of the headers that no client may send.
func (r *httpRequest) asPolicy(c *policy.Config) (out *policy.Request, hostile []string) {
	out = &policy.Request{Method: r.method, Scheme: r.scheme, Authority: r.authority, Path: r.path, Jar: c.NewJar()}
	for _, h := range r.headers {
		if c.Take(out, h[0], h[1]) {
			hostile = append(hostile, h[0])
		}
	}
	return out, hostile
}
