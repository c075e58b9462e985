package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/policy"
)

const anyKey = `{"keys": [{"id": "a", "secret_env": "K"}], "login": {"url": "/login"}}`

func TestParseCurl(t *testing.T) {
	const accept, form = "accept: */*", "content-type: application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name, line, first string
		headers           []string
		notes             int
	}{
		{"plain", `curl https://a.example/b?c=d`, "GET https a.example /b?c=d", []string{accept}, 0},
		{"without the word curl", `'https://a.example/'`, "GET https a.example /", []string{accept}, 0},
		{"no scheme, no path", `curl a.example:8080`, "GET http a.example:8080 /", []string{accept}, 0},
		{"query without path", `curl 'http://a.example?x=/y'`, "GET http a.example /?x=/y", []string{accept}, 0},
		{"fragment and user", `curl 'http://me:pw@a.example/b#c'`, "GET http a.example /b", []string{accept}, 0},
		{"as Chromium copies it", "curl 'https://a.example/api' \\\n  -X 'DELETE' \\\n  -H 'accept: application/json' \\\n  -b 'x=1; __Host-session=1s.a.B' \\\n  --data-raw '{\"a\":1}' \\\n  --insecure",
			"DELETE https a.example /api", []string{"accept: application/json", form, "cookie: x=1; __Host-session=1s.a.B"}, 0},
		{"as Firefox copies it", `curl 'https://a.example/' --compressed -H 'Accept: text/html' -H 'Cookie: a=b' -H 'Sec-Fetch-Mode: navigate'`,
			"GET https a.example /", []string{"accept: text/html", "cookie: a=b", "sec-fetch-mode: navigate"}, 0},
		{"bash's own quotes", `curl $'https://a.example/\x62' -H $'x: it\'s \u00e9' -H "y: \"z\""`, "GET https a.example /b", []string{"x: it's é", `y: "z"`, accept}, 0},
		{"Windows' line ends", "curl 'http://a.example/' \\\r\n -I\r\n", "HEAD http a.example /", []string{accept}, 0},
		{"flags in one word", `curl -sSLkXPUT http://a.example/`, "PUT http a.example /", []string{accept}, 0},
		{"value in the word", `curl -HX:y -bq=r http://a.example/`, "GET http a.example /", []string{"x: y", accept, "cookie: q=r"}, 0},
		{"data", `curl -d a=1 --data-urlencode b=2 http://a.example/`, "POST http a.example /", []string{form, accept}, 0},
		{"data in the query", `curl -G -d a=1 -d b=2 'http://a.example/?c=3'`, "GET http a.example /?c=3&a=1&b=2", []string{accept}, 0},
		{"json", `curl --json '{}' http://a.example/`, "POST http a.example /", []string{"accept: application/json", "content-type: application/json"}, 0},
		{"a form", `curl -F a=@b http://a.example/`, "POST http a.example /", []string{"content-type: multipart/form-data; boundary=curfew", accept}, 0},
		{"an upload", `curl -T file http://a.example/x`, "PUT http a.example /x", []string{accept}, 0},
		{"headers out and empty", `curl -H 'Accept:' -H 'X;' http://a.example/`, "GET http a.example /", []string{"x: "}, 0},
		{"another host", `curl -H 'Host: b.example' --url http://127.0.0.1:10000/`, "GET http b.example /", []string{accept}, 0},
		{"dots go, as curl has it", `curl http://a.example/b/../c//d/./e?f=/../g`, "GET http a.example /c//d/e?f=/../g", []string{accept}, 0},
		{"dots stay", `curl --path-as-is http://a.example/b/../c`, "GET http a.example /b/../c", []string{accept}, 0},
		{"a hostile path stays", `curl 'http://a.example//b;c%2f%zz\d'`, `GET http a.example //b;c%2f%zz\d`, []string{accept}, 0},
		{"what does not matter", `curl --max-time 10 -o /dev/null -w '%{http_code}' --resolve a.example:80:127.0.0.1 -x proxy http://a.example/`, "GET http a.example /", []string{accept}, 0},
		{"what is not known", `curl --frobnicate -u me:pw -A agent http://a.example/`, "GET http a.example /", []string{accept}, 3},
		{"a variable", `curl "http://a.example/$X"`, "GET http a.example /", []string{accept}, 1},
		{"two lines of cookies", `curl -H 'Cookie: a=1' -b b=2 -b c=3 http://a.example/`, "GET http a.example /", []string{"cookie: a=1", accept, "cookie: b=2; c=3"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := parseCurl(tt.line)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join([]string{r.method, r.scheme, r.authority, r.path}, " "); got != tt.first {
				t.Errorf("got %q, want %q", got, tt.first)
			}
			var headers []string
			for _, h := range r.headers {
				headers = append(headers, h[0]+": "+h[1])
			}
			if diff := cmp.Diff(tt.headers, headers); diff != "" {
				t.Error(diff)
			}
			if len(r.notes) != tt.notes {
				t.Errorf("notes %q, want %d", r.notes, tt.notes)
			}
		})
	}
}

func TestParseCurlRefuses(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"nothing", "", "no URL"},
		{"no URL", "curl -s", "no URL"},
		{"two URLs", "curl http://a.example/ http://b.example/", "two URLs"},
		{"a file of cookies", "curl -b jar.txt http://a.example/", "give the cookies themselves"},
		{"a file of headers", "curl -H @h.txt http://a.example/", "give the headers themselves"},
		{"cut off", "curl http://a.example/ -H", "copy all of it"},
		{"an open quote", "curl 'http://a.example/", "single quotes"},
		{"a second command", "curl http://a.example/; rm x", "single quotes"},
		{"a command inside", "curl http://a.example/$(id)", "single quotes"},
		{"Windows", "curl ^\"http://a.example/^\" ^\n -I", "cURL (bash)"},
		{"another scheme", "curl ftp://a.example/", "https://shop.example/page"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseCurl(tt.line); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

// Whatever the filter reads of a request, explain reads, too.
func TestEveryFieldIsRead(t *testing.T) {
	c, err := policy.Parse(anyKey, madeUp())
	if err != nil {
		t.Fatal(err)
	}
	curl := &httpRequest{method: "m", scheme: "s", authority: "a", path: "p"}
	for _, name := range strings.Fields("accept content-type upgrade referer origin access-control-request-method sec-fetch-dest sec-fetch-mode sec-fetch-site sec-purpose purpose if-none-match x-session-activity") {
		curl.headers = append(curl.headers, [2]string{name, name})
	}
	r, hostile := curl.asPolicy(c)
	v := reflect.ValueOf(*r)
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.String && v.Field(i).String() == "" {
			t.Errorf("nothing fills %s", v.Type().Field(i).Name)
		}
	}
	if diff := cmp.Diff([]string{"x-session-activity"}, hostile); diff != "" {
		t.Error(diff)
	}
}
