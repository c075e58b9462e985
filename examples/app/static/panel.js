// The buttons of the home page that send requests, and the table of what came of them.
import { ask, clock } from "./deadlines.js";

const passive = { "x-session-activity": "passive" };
const requests = {
  active: ["Active request", () => fetch("/api/me", { cache: "no-store" })],
  passive: ["Passive poll", () => fetch("/api/me", { cache: "no-store", headers: passive })],
  admin: ["Admin API", () => fetch("/admin/api", { cache: "no-store" })],
  nobody: ["No session", () => fetch("/api/me", { cache: "no-store", credentials: "omit" })],
  keepalive: ["Keepalive", () => fetch("/.session/keepalive", { method: "POST" })],
};
const none = "–";
const body = document.querySelector("#log tbody");
const said = document.getElementById("said");

// The table outlives a reload and a login: how a session ended is told after it.
const rows = JSON.parse(sessionStorage.getItem("log") ?? "[]");
const most = 50;

function save() {
  sessionStorage.setItem("log", JSON.stringify(rows));
}

// draw appends a row and returns the cell of its decision.
function draw(texts) {
  const row = body.insertRow();
  row.role = "row";
  texts.forEach((text, i) => {
    const cell = row.appendChild(document.createElement(i === 0 ? "th" : "td"));
    if (i === 0) cell.scope = "row";
    cell.role = i === 0 ? "rowheader" : "cell";
    cell.textContent = text;
  });
  const box = body.closest(".scroll");
  box.scrollTop = box.scrollHeight;
  return row.cells[3];
}

// add notes one thing that happened, in the table and in words.
function add(request, code, decision, status) {
  const time = new Date().toLocaleTimeString("en-GB");
  const left = status === null ? [none, none] : [clock(status.idle_in), clock(status.expires_in)];
  const texts = [time, request, code, decision, ...left];
  rows.push(texts);
  if (rows.length > most) {
    rows.shift();
    body.deleteRow(0);
  }
  save();
  say(`${request}: ${code === none ? "" : `status ${code}, `}${decision}.`, status);
  return { texts, cell: draw(texts) };
}

// settle says for good what became of an entry.
function settle(entry, decision) {
  entry.texts[3] = entry.cell.textContent = decision;
  save();
}

// say tells the last thing that happened, to screen readers as well.
function say(text, status) {
  const left = status?.state !== "ok" ? "" : ` Left: ${words(status.idle_in)} idle, ${words(status.expires_in)} in all.`;
  said.textContent = text + left;
}

function words(seconds) {
  const count = (n, unit) => (n === 0 ? "" : `${n} ${unit}${n === 1 ? "" : "s"}`);
  const parts = [count(Math.floor(seconds / 60), "minute"), count(seconds % 60, "second")];
  return parts.filter(Boolean).join(" ") || "0 seconds";
}

// decision puts an answer into words: Curfew's own where it refused, else what the app was told.
function decision(name, answer, told) {
  if (told.state) return `answered by Curfew: ${told.state}`;
  if (!told.reason) return "no decision of Curfew in the answer";
  if (!answer.ok) return `refused by Curfew: ${told.reason}`;
  if (told.refreshed) return `let through: ${told.reason}, idle deadline moved`;
  return `let through: ${told.reason}, ` + (name === "passive" ? "idle deadline stays" : "activity noted a moment ago");
}

async function send(name) {
  const [title, request] = requests[name];
  try {
    const answer = await request();
    const told = await answer.json().catch(() => ({}));
    add(title, answer.status, decision(name, answer, told), await ask());
  } catch {
    add(title, none, "no answer", await ask());
  }
}

// stream is the open one, if any.
let stream = null;
const streamButton = document.querySelector("[data-try=stream]");

function openStream() {
  const source = new EventSource("/api/seconds");
  const mine = (stream = { source, entry: null, seconds: 0 });
  streamButton.textContent = "Close the stream";
  source.onopen = async () => {
    const status = await ask();
    if (stream !== mine) return;
    mine.entry = add("Stream", 200, "let through: open", status);
    mine.entry.texts[3] = "let through: open when the page was left"; // what a reload finds, unless it ends before
    save();
  };
  source.onmessage = ({ data }) => {
    mine.seconds = Number(data);
    if (mine.entry) mine.entry.cell.textContent = `let through: open for ${data} s`;
  };
  source.onerror = () => streamBroken(mine);
}

// streamBroken tells a stream of a session that is over from one that the browser will open again by itself. Each
// worker of Envoy goes by the activity that it saw, so a stream may end before its session does.
async function streamBroken(mine) {
  const { source, entry, seconds } = mine;
  mine.entry = null;
  const gone = source.readyState === EventSource.CLOSED; // Curfew's 204 ends the retries
  const status = await ask();
  if (stream !== mine) return;
  const lives = status?.state === "ok";
  if (gone || !lives) closeStream();
  if (!entry) {
    if (gone) add("Stream", none, "refused", status);
    return;
  }
  let what = `ended after ${seconds} s`;
  if (lives) what += ": the session lives, so it opens again";
  else if (status !== null) what = `the proxy closed it after ${seconds} s: ${status.state}`;
  settle(entry, what);
  say(`Stream: ${what}.`, status);
}

function closeStream() {
  stream.source.close();
  stream = null;
  streamButton.textContent = "Open a stream";
}

function leaveStream() {
  const { entry, seconds } = stream;
  closeStream();
  if (entry) settle(entry, `closed by this page after ${seconds} s`);
}

for (const button of document.querySelectorAll("[data-try]")) {
  const name = button.dataset.try;
  button.addEventListener("click", () => {
    if (name !== "stream") send(name);
    else if (stream) leaveStream();
    else openStream();
  });
}

document.getElementById("clear").addEventListener("click", () => {
  rows.length = 0;
  body.replaceChildren();
  said.textContent = "The list is empty.";
  save();
});

document.addEventListener("curfew:warning", ({ detail }) => add("Warning", none, "the session ends soon", detail));
document.addEventListener("curfew:extended", ({ detail }) => add("Extended", none, "there is time again", detail));
document.addEventListener("curfew:expired", (event) => {
  add("Expired", none, `the session is over: ${event.detail.state}`, event.detail);
  if (!stream) return;
  // Without a stream session.js goes at once. With one there is something to see first.
  event.preventDefault();
  setTimeout(() => location.replace(`/.session/end?${location.pathname}${location.search}`), 3000);
});

rows.forEach(draw);
