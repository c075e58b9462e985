"""A login, a visit counter and a logout. The session lives in Curfew, in the proxy; this app reads one header and writes one."""
import html, json, os
from urllib.parse import parse_qsl
from wsgiref.simple_server import make_server

USERS = {"alice": "demo-alice", "bob": "demo-bob"}  # a real app keeps slow hashes, not passwords
FORM = """<h1>Log in</h1><form method="post" action="/login"><label>User <input name="user" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label> <button>Log in</button></form>"""
LOGOUT = '<form method="post" action="/logout"><button>Log out</button></form>'  # Curfew answers it

def app(env, start_response):
    def answer(status, body, *headers):
        start_response(status, [("Content-Type", "text/html; charset=utf-8"), *headers])
        return [f'<!doctype html><html lang="en"><title>Visits</title><main>{body}</main></html>'.encode()]
    form = dict(parse_qsl(env["wsgi.input"].read(min(int(env.get("CONTENT_LENGTH") or 0), 4096)).decode(errors="replace")))
    session = json.loads(env.get("HTTP_X_SESSION", "null"))  # None: nobody is logged in
    route = env["REQUEST_METHOD"] + " " + env["PATH_INFO"]
    if route == "GET /" and session:
        visits = session["data"].get("visits", 0) + 1
        page = f"<h1>Hello, {html.escape(session['subject'])}</h1><p>Visits: {visits}</p>{LOGOUT}"
        return answer("200 OK", page, ("X-Session", json.dumps({"set": {"visits": visits}})))
    if route == "GET /login": return answer("200 OK", FORM)
    if route != "POST /login": return answer("404 Not Found", "<h1>Nothing here</h1>")
    if env.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"): return answer("403 Forbidden", "<h1>Sent by another site</h1>")
    user = form.get("user")
    if user not in USERS or USERS[user] != form.get("password"): return answer("401 Unauthorized", f'<p role="alert">Wrong user or password.</p>{FORM}')
    return answer("303 See Other", "", ("Location", "/"), ("X-Session", json.dumps({"start": {"subject": user}})))

if __name__ == "__main__": make_server("127.0.0.1", int(os.environ.get("PORT", 8080)), app).serve_forever()
