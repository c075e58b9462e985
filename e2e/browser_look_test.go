package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axe finds nothing in what people get to see, in light and in dark.
func accessibility(t *testing.T, c *chromium) {
	axe, err := os.ReadFile(filepath.Join(tool(t, "CURFEW_NPM"), "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "15m", "absolute": "20m"}`, "")
	x := c.newPerson(t, s)
	check := func(what string, schemes ...string) {
		t.Helper()
		for _, scheme := range schemes {
			x.scheme(scheme)
			x.do(chromedp.Evaluate[chromedp.Void](string(axe)))
			if found := x.ask(faults); found != `{"passed":true,"faults":[]}` {
				t.Errorf("%s, %s: %s", what, scheme, found)
			}
		}
	}
	checkDialog := func(what string) {
		t.Helper()
		for _, path := range []string{"/passive/", "/passive/test"} { // in the app's colours, and in its own
			x.open(path)
			x.wait("a dialog", "!!dialog")
			check(what+" at "+path, "light", "dark")
		}
	}
	x.open("/")
	x.sentAway("/", "absent")
	check("login", "light", "dark")
	x.logIn("alice", false)
	x.arrives("/")
	check("home", "light", "dark")
	x.open("/.session/end?/")
	check("still signed in", "light") // in dark axe takes the browser's own background for white
	clk.advance(t, 14*time.Minute)
	checkDialog("warning")
	x.open("/")
	clk.advance(t, 5*time.Minute)
	checkDialog("last warning")
	clk.advance(t, time.Minute)
	x.open("/")
	x.sentAway("/", "absolute_timeout")
	check("expired", "light", "dark")
}

// faults are axe's violations, and in a dialog, where axe cannot tell colours and asks for no size, what has a contrast
// below 4.5 (WCAG 1.4.3) or is too small to hit (2.5.8).
const faults = `axe.run().then(({ passes, violations }) => {
	const faults = violations.map((v) => [v.id, v.nodes.map((n) => n.html + n.failureSummary)]);
	const color = (text) => { const c = new axe.commons.color.Color(); c.parseString(text); return c; };
	for (const e of dialog?.querySelectorAll("h2, p:not([aria-live]), button") ?? []) {
		let below = e;
		while (getComputedStyle(below).backgroundColor === "rgba(0, 0, 0, 0)") below = below.parentElement;
		const contrast = axe.commons.color.getContrast(color(getComputedStyle(below).backgroundColor), color(getComputedStyle(e).color));
		if (!(contrast >= 4.5)) faults.push([e.outerHTML, "contrast", contrast]);
		if (e.matches("button") && Math.min(e.offsetWidth, e.offsetHeight) < 24) faults.push([e.outerHTML, "size"]);
	}
	return JSON.stringify({ passed: passes.length > 0, faults });
})`

// scheme is light or dark.
func (x *browserTab) scheme(name string) {
	x.t.Helper()
	params := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}
	if _, err := chromedp.Call(x.ctx, emulation.SetEmulatedMedia, params); err != nil {
		x.t.Fatal(err)
	}
}

// screenshots takes the pictures of the docs, into CURFEW_SCREENSHOTS where that is set.
func screenshots(t *testing.T, c *chromium) {
	folder := cmp.Or(os.Getenv("CURFEW_SCREENSHOTS"), t.TempDir())
	clk := newClock(t)
	s := c.newSite(t, clk, `{"idle": "2m", "absolute": "10m", "touch": "2s"}`, "") // as in envoy.yaml
	x := c.newPerson(t, s)
	x.scheme("light")
	x.do(chromedp.EmulateViewport(1280, 800))
	take := func(name, shows string) {
		t.Helper()
		x.wait(name, fmt.Sprintf(`(dialog ?? document.body).innerText.includes(%q)`, shows))
		shot, err := chromedp.Run(x.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		savePicture(t, filepath.Join(folder, name+".png"), shot)
	}
	x.open("/login")
	take("login", "Demo accounts")
	x.logIn("alice", false)
	x.arrives("/")
	clk.advance(t, 90*time.Second)
	x.open("/")
	clk.advance(t, 26*time.Second)
	x.open("/passive/")
	take("countdown", "Hello, Alice")
	x.open("/")
	for i, name := range []string{"passive", "admin", "active", "keepalive"} {
		clk.advance(t, 5*time.Second)
		x.click("[data-try=" + name + "]")
		x.wait(name, fmt.Sprintf(`document.querySelectorAll("#log tbody tr").length === %d`, i+1))
	}
	x.wait("the table in sight", `(document.getElementById("log").scrollIntoView({ block: "end" }), true)`)
	take("decisions", "answered by Curfew: ok")
	clk.advance(t, 75*time.Second)
	x.open("/passive/")
	x.wait("a dialog", "!!dialog")
	take("warning", "Stay signed in")
	clk.advance(t, time.Minute)
	x.open("/")
	take("expired", "because you were inactive")
}

// savePicture writes a PNG of 256 colours, the most frequent ones, which is a third of the size.
func savePicture(t *testing.T, path string, shot []byte) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := img.Bounds(), image.Rect(0, 0, 1280, 800); got != want {
		t.Errorf("%s: %v, want %v", path, got, want)
	}
	small := image.NewPaletted(img.Bounds(), frequentColors(img))
	draw.Draw(small, small.Bounds(), img, image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 120_000 {
		t.Errorf("%s has %d bytes: too many for a repository", path, out.Len())
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// frequentColors are the 256 that most pixels have.
func frequentColors(img image.Image) color.Palette {
	count := map[color.RGBA]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			count[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)]++
		}
	}
	byCount := func(a, b color.RGBA) int { return cmp.Compare(count[b], count[a]) }
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(count), byCount)[:min(256, len(count))] {
		palette = append(palette, c)
	}
	return palette
}
