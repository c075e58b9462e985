package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
)

//go:embed pages static
var files embed.FS

// maxForm is the largest form read, in bytes: room for a percent-encoded `next` of Curfew's 2,048 bytes.
const maxForm = 16 << 10

// shop holds the parsed pages and nothing else.
type shop struct{ pages map[string]*template.Template }

func newHandler() http.Handler {
	s := &shop{pages: map[string]*template.Template{}}
	for _, name := range []string{"home", "product", "cart", "address", "confirm", "thanks", "account", "login"} {
		layout := template.New("layout.html").Funcs(template.FuncMap{"euros": euros})
		s.pages[name] = template.Must(layout.ParseFS(files, "pages/layout.html", "pages/"+name+".html"))
	}
	mux := http.NewServeMux()
	s.on(mux, "GET /{$}", home)
	s.on(mux, "GET /goods/{id}", showProduct)
	s.on(mux, "GET /cart", showCart)
	s.on(mux, "POST /cart/add", addToCart)
	s.on(mux, "POST /cart/change", changeCart)
	s.on(mux, "GET /checkout", askAddress)
	s.on(mux, "POST /checkout", takeAddress)
	s.on(mux, "POST /checkout/restart", restart)
	s.on(mux, "GET /checkout/confirm", askConfirmation)
	s.on(mux, "POST /checkout/confirm", order)
	s.on(mux, "GET /checkout/thanks", thank)
	s.on(mux, "POST /theme", changeTheme)
	s.on(mux, "GET /account", showAccount)
	s.on(mux, "POST /account/remember", changeRemember)
	s.on(mux, "GET /login", askLogin)
	s.on(mux, "POST /login", login)
	mux.Handle("GET /static/", http.FileServerFS(files))
	// There is no /logout here: Curfew answers it.
	// A form on another site must not log a visitor in, nor fill a cart.
	return withHeaders(http.NewCrossOriginProtection().Handler(mux))
}

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // Curfew finds the way back of a lost POST in a same-origin Referer
		next.ServeHTTP(w, r)
	})
}

// on serves a pattern by a function of the visit.
func (s *shop) on(mux *http.ServeMux, pattern string, handle func(*visit)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "This form could not be read. Go back and send it again.", http.StatusBadRequest)
			return
		}
		handle(&visit{shop: s, w: w, r: r, session: readSession(r), command: map[string]any{}, changes: map[string]any{}})
	})
}

// view is what every page gets. Received and Sent are the two headers, for the curious.
type view struct {
	session
	Page, Path, Received, Sent string
	TooLarge                   bool
	Body                       any
}

// show answers with a page.
func (v *visit) show(status int, name string, body any) {
	v.joinTest()
	tooLarge := v.r.Header.Get(sessionHeader+"-error") == "too_large"
	data := view{v.session, name, v.r.URL.Path, indented(v.r.Header.Get(sessionHeader)), indented(v.tell()), tooLarge, body}
	var page bytes.Buffer
	if err := v.pages[name].Execute(&page, data); err != nil {
		v.w.Header().Del(sessionHeader)
		http.Error(v.w, "This page could not be shown.", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Cache-Control", "no-store") // else the Back button shows an old cart
	v.w.WriteHeader(status)
	page.WriteTo(v.w)
}

// redirect sends the browser to a page after a form, so that a reload does not send the form again.
func (v *visit) redirect(path string) {
	v.tell()
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
}

func indented(text string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "  ") != nil {
		return ""
	}
	return b.String()
}
