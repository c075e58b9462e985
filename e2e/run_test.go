package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	demo     = "http://localhost:10000"
	demoPort = "127.0.0.1:10000"
)

// demoRun is the README's first command, in a process group of its own.
type demoRun struct {
	cmd  *exec.Cmd
	out  *logFile
	done chan error
}

func startDemo(t *testing.T, temp string) *demoRun {
	t.Helper()
	r := &demoRun{cmd: exec.Command("make", "-C", "..", "run"), out: &logFile{}, done: make(chan error, 1)}
	r.cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		if t.Failed() {
			t.Logf("make run printed:\n%s", r.out)
		}
	})
	return r
}

// TestMakeRun does what the README's reader does: start it, log in, be known, log out, Ctrl-C.
func TestMakeRun(t *testing.T) {
	temp := t.TempDir()
	r := startDemo(t, temp)
	eventually(t, "make run says that it is ready", func() bool { return strings.Contains(r.out.String(), "Open "+demo) })
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	visit := func(method, path string, form url.Values) (landed, body string) {
		t.Helper()
		req, err := http.NewRequest(method, demo+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("accept", "text/html")
		req.Header.Set("content-type", "application/x-www-form-urlencoded")
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		return res.Request.URL.Path, b.String()
	}
	if path, _ := visit("GET", "/", nil); path != "/login" {
		t.Errorf("a stranger came to %s", path)
	}
	login := url.Values{"user": {"alice"}, "password": {"demo-alice"}, "next": {"/"}}
	if path, body := visit("POST", "/login", login); path != "/" || !strings.Contains(body, "Hello, Alice") {
		t.Errorf("after the login: %s\n%s", path, body)
	}
	if path, _ := visit("POST", "/logout", nil); path != "/login" {
		t.Errorf("after the logout: %s", path)
	}
	if path, _ := visit("GET", "/", nil); path != "/login" {
		t.Errorf("logged out, and still at %s", path)
	}
	curlLogsInAndOut(t, filepath.Join(t.TempDir(), "jar"))
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT)
	<-r.done
	for _, port := range []string{demoPort, "127.0.0.1:8080"} {
		if conn, err := net.Dial("tcp", port); err == nil {
			conn.Close()
			t.Errorf("after Ctrl-C %s still answers", port)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("after Ctrl-C there is %v left in the temporary folder (%v)", left, err)
	}
}

// A port that somebody else has is named, with the way out, before anything starts.
func TestMakeRunTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", demoPort)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := startDemo(t, t.TempDir())
	if err := <-r.done; err == nil {
		t.Error("make run took a port that is taken")
	}
	if out := fmt.Sprint(r.out); !strings.Contains(out, "port 10000 on 127.0.0.1 is taken") || !strings.Contains(out, "end what listens there") {
		t.Errorf("it said:\n%s", out)
	}
}

// curlLogsInAndOut does the same with curl and its cookie file.
func curlLogsInAndOut(t *testing.T, jar string) {
	t.Helper()
	curl := func(path string, args ...string) string {
		args = append(args, "-s", "-S", "-b", jar, "-c", jar, "-o", os.DevNull, "-H", "Accept: text/html", "-w", "%{http_code} %{redirect_url}", demo+path)
		out, err := exec.Command(tool(t, "CURFEW_CURL"), args...).CombinedOutput()
		if err != nil {
			t.Errorf("curl %s: %v", path, err)
		}
		return string(out)
	}
	stranger := "302 " + demo + "/login?next=/&reason=absent"
	for _, step := range []struct{ what, got, want string }{
		{"stranger", curl("/"), stranger},
		{"login", curl("/login", "-d", "user=bob", "-d", "password=demo-bob", "-d", "next=/"), "303 " + demo + "/"},
		{"home", curl("/"), "200 "},
		{"logout", curl("/logout", "-X", "POST"), "303 " + demo + "/login?reason=logged_out"},
		{"gone", curl("/"), stranger},
	} {
		if step.got != step.want {
			t.Errorf("curl, %s: got %q, want %q", step.what, step.got, step.want)
		}
	}
}
