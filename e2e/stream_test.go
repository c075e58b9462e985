package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// streamApp holds streams of many kinds open, and does with each what a test says. It speaks http/1.1
// and h2.
type streamApp struct {
	addr   string
	health *health.Server
	open   atomic.Int64 // streams that are open at its end
	mu     sync.Mutex
	lines  map[string]chan string
}

func newStreamApp(t testing.TB) *streamApp {
	a := &streamApp{health: health.NewServer(), lines: map[string]chan string{}}
	rpc := grpc.NewServer()
	healthpb.RegisterHealthServer(rpc, a.health)
	reflection.Register(rpc)
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: newApp(t)}))
	mux.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux.Handle("/ws", websocket.Server{Handler: a.socket})
	mux.HandleFunc("/events", a.events)
	mux.HandleFunc("/download", a.download)
	mux.HandleFunc("/{folder}/download", a.download)
	mux.HandleFunc("/upload", a.upload)
	mux.HandleFunc("/wait", a.wait)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("content-type"), "application/grpc") {
			defer a.opened()()
			rpc.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	srv.Config.Protocols = &http.Protocols{}
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	a.addr = srv.Listener.Addr().String()
	return a
}

func (a *streamApp) opened() (closed func()) {
	a.open.Add(1)
	return func() { a.open.Add(-1) }
}

// line is what goes through the app's end of a stream: to the client ("say") or from it ("hear").
func (a *streamApp) line(way, id string) chan string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ch, ok := a.lines[way+id]
	if !ok {
		ch = make(chan string, 16) // more than a test leaves unread in a stream that is gone
		a.lines[way+id] = ch
	}
	return ch
}

func (a *streamApp) socket(conn *websocket.Conn) {
	defer a.opened()()
	id, gone := conn.Request().URL.Query().Get("id"), make(chan struct{})
	go func() {
		defer close(gone)
		for text := ""; websocket.Message.Receive(conn, &text) == nil; {
			a.line("hear", id) <- text
		}
	}()
	for {
		select {
		case text := <-a.line("say", id):
			_ = websocket.Message.Send(conn, text)
		case <-gone:
			return
		}
	}
}

func (a *streamApp) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("content-type", "text/event-stream")
	_, _ = io.WriteString(w, "retry: 20\n\n")
	a.speak(w, r, "data: %s\n\n")
}

func (a *streamApp) download(w http.ResponseWriter, r *http.Request) { a.speak(w, r, "%s\n") }

// speak sends what the test says, until the client is gone.
func (a *streamApp) speak(w http.ResponseWriter, r *http.Request, format string) {
	defer a.opened()()
	for {
		_ = http.NewResponseController(w).Flush()
		select {
		case text := <-a.line("say", r.URL.Query().Get("id")):
			fmt.Fprintf(w, format, text)
		case <-r.Context().Done():
			return
		}
	}
}

// upload hears lines and answers nothing before their end.
func (a *streamApp) upload(_ http.ResponseWriter, r *http.Request) {
	defer a.opened()()
	for s := bufio.NewScanner(r.Body); s.Scan(); {
		a.line("hear", r.URL.Query().Get("id")) <- s.Text()
	}
}

// wait answers nothing at all.
func (a *streamApp) wait(_ http.ResponseWriter, r *http.Request) {
	defer a.opened()()
	<-r.Context().Done()
}

// scene is an Envoy with the app behind it.
type scene struct {
	t      testing.TB
	e      *envoy
	app    *streamApp
	clk    *clock
	began  time.Time
	setup  setup
	probes int // so far
	ids    int
}

// newScene starts an Envoy; fields are of its filter's config.
func newScene(t testing.TB, how setup, fields ...string) *scene {
	t.Helper()
	s := &scene{t: t, app: newStreamApp(t), clk: newClock(t), setup: how}
	s.began = s.clk.now
	s.setup.app, s.setup.streams, s.setup.clock = s.app.addr, true, s.clk
	s.setup.env, s.setup.config = map[string]string{"CURFEW_KEY": newKey()}, least(fields...)
	s.e = start(t, s.setup)
	return s
}

// in is a browser that is logged in.
func (s *scene) in(command string) *client {
	s.t.Helper()
	c := newClient(s.t, s.e, "http/1.1")
	c.login(command)
	return c
}

// tick returns when each worker has had a tick since the call and is done with it: counts are told at
// a tick, so requests that came after the call and are counted prove one.
func (s *scene) tick() {
	s.t.Helper()
	s.probe()
	eventually(s.t, "all workers have a tick", func() bool { return s.e.counter("preflight") == s.probes })
	s.probe() // a worker that answers again has left its tick
}

// probe sends each worker a preflight, which no session and no rule has a part in. The kernel deals
// connections to workers by chance; that one gets none of so many does not happen.
func (s *scene) probe() {
	s.t.Helper()
	n := 1
	if s.setup.workers > 1 {
		n = 24 * s.setup.workers
	}
	s.probes += n
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	for lane := range 4 {
		wg.Go(func() {
			for i := lane; i < n; i += 4 {
				req, _ := http.NewRequest("OPTIONS", "http://"+s.e.http+"/plain", nil)
				req.Header = http.Header{"Origin": {"https://a.example"}, "Access-Control-Request-Method": {"PUT"}}
				res, err := c.Do(req)
				if err != nil {
					s.t.Errorf("a probe: %v", err)
					return
				}
				res.Body.Close()
			}
		})
	}
	wg.Wait()
}

// gauge reads one of Envoy's own figures.
func (e *envoy) gauge(name string) int {
	n := -1
	_, value, _ := strings.Cut(e.adminGet("/stats?filter=^"+name+"$"), ": ")
	_, _ = fmt.Sscan(value, &n)
	return n
}

// active is how many requests the TLS listener has open.
func (s *scene) active() int { return s.e.gauge("http.https.downstream_rq_active") }

// at moves the clock to a time since the scene began, and holds the number of streams that are open
// after the next tick against what it should be.
func (s *scene) at(what string, now time.Duration, open int) {
	s.t.Helper()
	s.clk.set(s.t, s.began.Add(now))
	s.tick()
	if n := s.active(); n != open {
		s.t.Errorf("%s, after %v: %d streams are open, want %d", what, now, n, open)
	}
}

// stream is an open one in the hands of a client of its protocol.
type stream struct {
	name string
	pass func() // data passes, both ways where the protocol has both
	say  func() // data passes to the client only
	hear func() // data passes from the client only
	over func() // waits until the client sees the end, and holds it against what its protocol says
}

// within fails where f takes too long. It must not end the test itself.
func (s *scene) within(what string, f func()) {
	s.t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		s.t.Fatalf("waited %v in vain: %s", patience, what)
	}
}

func (s *scene) id() string { s.ids++; return fmt.Sprint("stream-", s.ids) }

// hears fails where the app does not hear what a client sent.
func (s *scene) hears(id, what string) {
	s.t.Helper()
	s.within(what+": the app hears", func() {
		if got := <-s.app.line("hear", id); got != "there" {
			s.t.Errorf("%s: the app heard %q", what, got)
		}
	})
}

// nodeEvent is a line of streams/client.js.
type nodeEvent struct {
	Event, Data, Message string
	Code, State          int
}

// node is a running streams/client.js.
type node struct {
	s      *scene
	name   string
	in     io.Writer
	events chan nodeEvent
	exit   chan error
}

func (s *scene) node(kind, url, cookies string) *node {
	s.t.Helper()
	n := &node{s: s, name: kind, events: make(chan nodeEvent, 16), exit: make(chan error, 1)}
	cmd := exec.Command(tool(s.t, "CURFEW_NODE"), "streams/client.js", kind, url, cookies)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(tool(s.t, "CURFEW_NPM"), "node_modules"), "NODE_TLS_REJECT_UNAUTHORIZED=0", "NODE_NO_WARNINGS=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	n.in = in
	s.t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() {
		for d := json.NewDecoder(out); ; {
			var ev nodeEvent
			if d.Decode(&ev) != nil {
				break
			}
			n.events <- ev
		}
		n.exit <- cmd.Wait()
	}()
	return n
}

// sees holds the next event against what it should be. Messages are for people.
func (n *node) sees(want nodeEvent) {
	n.s.t.Helper()
	n.s.within(n.name+" sees "+want.Event, func() {
		got := <-n.events
		want.Message = got.Message
		if got != want {
			n.s.t.Errorf("%s saw %+v, want %+v", n.name, got, want)
		}
	})
}

// exits fails where the program still waits for something.
func (n *node) exits() {
	n.s.t.Helper()
	n.s.within(n.name+" has nothing more to do", func() {
		if err := <-n.exit; err != nil {
			n.s.t.Errorf("%s: %v", n.name, err)
		}
	})
}

// webSocket is one of the npm package ws.
func (s *scene) webSocket(path, cookies string) *stream {
	s.t.Helper()
	id, address := s.id(), "wss"+strings.TrimPrefix(newBare(s.t, s.e, "http/1.1").base, "https")
	n := s.node("websocket", address+path+"?id="+id, cookies)
	n.sees(nodeEvent{Event: "open"})
	w := &stream{name: "WebSocket"}
	w.say = func() {
		s.t.Helper()
		s.app.line("say", id) <- "here"
		n.sees(nodeEvent{Event: "message", Data: "here"})
	}
	w.hear = func() {
		s.t.Helper()
		fmt.Fprintln(n.in, "there")
		s.hears(id, w.name)
	}
	w.pass = func() { s.t.Helper(); w.say(); w.hear() }
	w.over = func() {
		s.t.Helper()
		// RFC 6455, section 7.1.5: the connection ended and no Close frame came.
		n.sees(nodeEvent{Event: "close", Code: 1006, State: 3})
		n.exits()
	}
	return w
}

// eventSource is one of the npm package of that name; it retries as the HTML standard says.
func (s *scene) eventSource(path, cookies string) *stream {
	s.t.Helper()
	id := s.id()
	n := s.node("eventsource", newBare(s.t, s.e, "http/1.1").base+path+"?id="+id, cookies)
	n.sees(nodeEvent{Event: "open"})
	w := &stream{name: "EventSource"}
	w.say = func() {
		s.t.Helper()
		s.app.line("say", id) <- "here"
		n.sees(nodeEvent{Event: "message", Data: "here"})
	}
	w.pass = w.say
	w.over = func() {
		s.t.Helper()
		n.sees(nodeEvent{Event: "error", State: 0})            // CONNECTING: it will retry
		n.sees(nodeEvent{Event: "error", Code: 204, State: 2}) // CLOSED
		n.exits()
	}
	return w
}

// transfer is a request by Go's own client that goes on and on.
func (s *scene) transfer(method, proto, path, cookies string, body io.Reader) (answer func() (*http.Response, error)) {
	s.t.Helper()
	c := newBare(s.t, s.e, proto)
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("cookie", cookies)
	type result struct {
		res *http.Response
		err error
	}
	came := make(chan result, 1)
	go func() {
		res, err := c.http.Do(req)
		came <- result{res, err}
	}()
	return func() (*http.Response, error) { r := <-came; return r.res, r.err }
}

func (s *scene) download(proto, path, cookies string) *stream {
	s.t.Helper()
	id := s.id()
	answer := s.transfer("GET", proto, path+"?id="+id, cookies, nil)
	w := &stream{name: "download, " + proto}
	var body *bufio.Reader
	s.within(w.name+" begins", func() {
		res, err := answer()
		if err != nil || res.StatusCode != 200 {
			s.t.Errorf("%s: %v %v", w.name, res, err)
			return
		}
		body = bufio.NewReader(res.Body)
	})
	w.say = func() {
		s.t.Helper()
		s.app.line("say", id) <- "here"
		s.within(w.name+" goes on", func() {
			if line, err := body.ReadString('\n'); line != "here\n" {
				s.t.Errorf("%s: %q %v", w.name, line, err)
			}
		})
	}
	w.pass = w.say
	w.over = func() {
		s.t.Helper()
		s.within(w.name+" ends", func() {
			if _, err := io.ReadAll(body); err == nil {
				s.t.Errorf("%s: a clean end; what was cut off passes for whole", w.name)
			}
		})
	}
	return w
}

// upload has no answer yet when its session ends.
func (s *scene) upload(proto, path, cookies string) *stream {
	s.t.Helper()
	id := s.id()
	body, in := io.Pipe()
	s.t.Cleanup(func() { in.Close() })
	answer := s.transfer("POST", proto, path+"?id="+id, cookies, body)
	w := &stream{name: "upload, " + proto}
	w.hear = func() {
		s.t.Helper()
		_, _ = io.WriteString(in, "there\n")
		s.hears(id, w.name)
	}
	w.pass = w.hear
	w.over = func() {
		s.t.Helper()
		in.Close() // Go sees an end only between two pieces of its body; where there was none, this brings the answer
		s.unanswered(w.name, answer)
	}
	w.pass() // Go sends no request before the first byte of its body
	return w
}

// longPoll is a request that the app does not answer.
func (s *scene) longPoll(proto, path, cookies string) *stream {
	s.t.Helper()
	answer, before := s.transfer("GET", proto, path, cookies, nil), s.app.open.Load()
	eventually(s.t, "the app has the request", func() bool { return s.app.open.Load() > before })
	w := &stream{name: "long poll, " + proto, pass: func() {}}
	w.over = func() { s.t.Helper(); s.unanswered(w.name, answer) }
	return w
}

func (s *scene) unanswered(name string, answer func() (*http.Response, error)) {
	s.t.Helper()
	s.within(name+" ends", func() {
		if res, err := answer(); err == nil {
			s.t.Errorf("%s: answered %s", name, res.Status)
		}
	})
}

// dialGRPC is a gRPC client with a browser's cookies.
func (s *scene) dialGRPC(cookies string) (*grpc.ClientConn, context.Context) {
	s.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.e.https, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}))) //nolint:gosec // a certificate of this test's own
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn, metadata.AppendToOutgoingContext(context.Background(), "cookie", cookies)
}

// resetCode is what gRPC makes of a stream that Envoy resets on a filter's word: that is RST_STREAM with
// INTERNAL_ERROR, for which gRPC's mapping of http/2 errors has this.
const resetCode = codes.Internal

// cut holds the end of a gRPC stream against what it should be, and then a retry.
func (s *scene) cut(name string, err error, retry func() error) {
	if status.Code(err) != resetCode {
		s.t.Errorf("%s: %v, want code %v", name, err, resetCode)
	}
	if err := retry(); status.Code(err) != codes.Unauthenticated {
		s.t.Errorf("%s, again: %v", name, err)
	}
}

// serverStream is the Watch of gRPC's own health service.
func (s *scene) serverStream(cookies string) *stream {
	s.t.Helper()
	id := s.id()
	conn, ctx := s.dialGRPC(cookies)
	watch := func() (healthpb.Health_WatchClient, error) {
		watch, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: id})
		if err == nil {
			_, err = watch.Recv()
		}
		return watch, err
	}
	w := &stream{name: "gRPC, server stream"}
	var open healthpb.Health_WatchClient
	s.within(w.name+" begins", func() {
		var err error
		if open, err = watch(); err != nil {
			s.t.Errorf("%s: %v", w.name, err)
		}
	})
	now := healthpb.HealthCheckResponse_SERVING
	w.say = func() {
		s.t.Helper()
		s.app.health.SetServingStatus(id, now)
		s.within(w.name+" goes on", func() {
			if got, err := open.Recv(); got.GetStatus() != now {
				s.t.Errorf("%s: %v %v", w.name, got, err)
			}
		})
		now = healthpb.HealthCheckResponse_SERVING + healthpb.HealthCheckResponse_NOT_SERVING - now
	}
	w.pass = w.say
	w.over = func() {
		s.t.Helper()
		s.within(w.name+" ends", func() {
			_, err := open.Recv()
			s.cut(w.name, err, func() error { _, err := watch(); return err })
		})
	}
	return w
}

// bothWays is gRPC's own reflection service.
func (s *scene) bothWays(cookies string) *stream {
	s.t.Helper()
	conn, ctx := s.dialGRPC(cookies)
	w := &stream{name: "gRPC, both ways"}
	begin := func() (reflectionpb.ServerReflection_ServerReflectionInfoClient, error) {
		return reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	}
	ask := func(open reflectionpb.ServerReflection_ServerReflectionInfoClient) error {
		// Of a stream that is over, Send says EOF, and Recv why.
		if err := open.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil && err != io.EOF {
			return err
		}
		_, err := open.Recv()
		return err
	}
	open, err := begin()
	if err != nil {
		s.t.Fatal(err)
	}
	w.pass = func() {
		s.t.Helper()
		s.within(w.name+" goes on", func() {
			if err := ask(open); err != nil {
				s.t.Errorf("%s: %v", w.name, err)
			}
		})
	}
	w.over = func() {
		s.t.Helper()
		s.within(w.name+" ends", func() {
			_, err := open.Recv()
			s.cut(w.name, err, func() error {
				again, err := begin()
				if err == nil {
					err = ask(again)
				}
				return err
			})
		})
	}
	w.pass()
	return w
}

// everyStream opens one of each kind.
func (s *scene) everyStream(cookies string) (all []*stream) {
	s.t.Helper()
	all = append(all, s.webSocket("/ws", cookies), s.eventSource("/events", cookies), s.serverStream(cookies), s.bothWays(cookies))
	for _, proto := range protocols {
		all = append(all, s.download(proto, "/download", cookies), s.upload(proto, "/upload", cookies), s.longPoll(proto, "/wait", cookies))
	}
	return all
}
