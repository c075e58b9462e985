// A login, a visit counter and a logout. The session lives in Curfew, in the proxy; this app reads one header and writes one.
const http = require("node:http");
const { text } = require("node:stream/consumers");

const users = new Map([["alice", "demo-alice"], ["bob", "demo-bob"]]); // a real app keeps slow hashes, not passwords
const form = `<h1>Log in</h1><form method="post" action="/login"><label>User <input name="user" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label> <button>Log in</button></form>`;
const logout = `<form method="post" action="/logout"><button>Log out</button></form>`; // Curfew answers it
const html = (s) => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const json = (v) => JSON.stringify(v).replace(/[^ -~]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0")); // headers are ASCII

async function handle(req, res) {
  const answer = (status, body, headers) => res.writeHead(status, { "content-type": "text/html; charset=utf-8", ...headers })
    .end(`<!doctype html><html lang="en"><title>Visits</title><main>${body}</main></html>`);
  const session = JSON.parse(req.headers["x-session"] ?? "null"); // null: nobody is logged in
  const route = `${req.method} ${req.url.split("?")[0]}`;
  if (route === "GET /" && session) {
    const visits = (session.data.visits ?? 0) + 1;
    return answer(200, `<h1>Hello, ${html(session.subject)}</h1><p>Visits: ${visits}</p>${logout}`, { "x-session": json({ set: { visits } }) });
  }
  if (route === "GET /login") return answer(200, form);
  if (route !== "POST /login") return answer(404, "<h1>Nothing here</h1>");
  if (!["same-origin", "none", undefined].includes(req.headers["sec-fetch-site"])) return answer(403, "<h1>Sent by another site</h1>");
  if (!(req.headers["content-length"] <= 4096)) return answer(413, "<h1>Too long</h1>");
  const { user, password } = Object.fromEntries(new URLSearchParams(await text(req)));
  if (!users.has(user) || users.get(user) !== password) return answer(401, `<p role="alert">Wrong user or password.</p>${form}`);
  answer(303, "", { location: "/", "x-session": json({ start: { subject: user } }) });
}
const keepAliveTimeout = 65 * 60_000; // Envoy reuses a connection for up to an hour, and must be the one to close it
http.createServer({ keepAliveTimeout }, (req, res) => handle(req, res).catch(() => res.destroy())).listen(process.env.PORT ?? 8080, "127.0.0.1");
