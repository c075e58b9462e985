// A WebSocket or an EventSource as people have them. It prints what it sees, one JSON object a line, sends the lines that it reads, and
// ends by itself once its connection is gone for good.
"use strict";
const readline = require("node:readline");
const WebSocket = require("ws");
const { EventSource } = require("eventsource");

const [kind, url, cookie] = process.argv.slice(2);

function say(event) {
  console.log(JSON.stringify(event));
}

function openWebSocket() {
  const socket = new WebSocket(url, { headers: { cookie } });
  socket.on("open", () => say({ event: "open" }));
  socket.on("message", (data) => say({ event: "message", data: String(data) }));
  socket.on("error", (error) => say({ event: "error", message: error.message }));
  socket.on("close", (code) => say({ event: "close", code, state: socket.readyState }));
  readline.createInterface({ input: process.stdin }).on("line", (line) => socket.send(line));
  process.stdin.unref(); // what is still to be read shall not keep it from ending
}

function openEventSource() {
  const source = new EventSource(url, { fetch: (to, init) => fetch(to, { ...init, headers: { ...init.headers, cookie } }) });
  source.onopen = () => say({ event: "open" });
  source.onmessage = ({ data }) => say({ event: "message", data });
  source.onerror = ({ code, message }) => say({ event: "error", code, message, state: source.readyState });
}

({ websocket: openWebSocket, eventsource: openEventSource })[kind]();
