package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
)

//go:embed pages static
var files embed.FS

// app holds the parsed pages.
type app struct{ pages map[string]*template.Template }

// view is what every page gets; Session is nil when nobody is signed in.
type view struct {
	Page    string
	Session *session
	Body    any
}

func newHandler() http.Handler {
	a := &app{pages: map[string]*template.Template{}}
	for _, name := range []string{"home", "login", "admin", "public"} {
		layout := template.New("layout.html").Funcs(template.FuncMap{"clock": clock})
		a.pages[name] = template.Must(layout.ParseFS(files, "pages/layout.html", "pages/"+name+".html"))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /login", a.loginPage)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("GET /admin", a.page("admin"))
	mux.HandleFunc("GET /public", a.page("public"))
	mux.HandleFunc("POST /timeout", setTimeout)
	mux.HandleFunc("GET /api/me", me)
	mux.HandleFunc("GET /admin/api", me) // that it is for admins only is a rule of Curfew's
	mux.HandleFunc("GET /api/seconds", seconds)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.Handle("GET /static/", http.FileServerFS(files))
	// There is no /logout here, and nothing under /.session/: Curfew answers these.
	// A form on another site must not sign a visitor in under an account of its choice (login CSRF).
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

// homeBody is what the home page shows beside the session.
type homeBody struct {
	Document string
	Choices  []choice
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	var body homeBody
	if s := currentSession(r); s != nil {
		var document bytes.Buffer
		json.Indent(&document, []byte(r.Header.Get(sessionHeader)), "", "  ") // currentSession has parsed it already
		body = homeBody{document.String(), s.choices()}
	}
	a.render(w, r, http.StatusOK, "home", body)
}

// page answers with a page that shows nothing but the session.
func (a *app) page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { a.render(w, r, http.StatusOK, name, nil) }
}

func (a *app) render(w http.ResponseWriter, r *http.Request, status int, name string, body any) {
	var page bytes.Buffer
	if err := a.pages[name].Execute(&page, view{name, currentSession(r), body}); err != nil {
		http.Error(w, "This page could not be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // else the Back button shows the page after signing out
	w.WriteHeader(status)
	page.WriteTo(w)
}

// clock writes seconds as h:mm:ss, or m:ss below an hour, as static/deadlines.js does.
func clock(seconds int64) string {
	seconds = max(0, seconds)
	if h := seconds / 3600; h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, seconds/60%60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}
