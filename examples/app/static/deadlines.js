// Counts the two deadlines on the home page down and keeps them true. It is a display only: the proxy decides when
// a session is over.
const timers = ["idle", "absolute"].map((name) => {
  const text = document.getElementById(`${name}-left`);
  const bar = text.parentElement.querySelector("progress");
  return { text, bar, field: name === "idle" ? "idle_in" : "expires_in", end: end(text.dataset.seconds) };
});

// end turns seconds from now into a time. Date.now() goes on while a computer sleeps; performance.now() may not.
function end(seconds) {
  return Date.now() + seconds * 1000;
}

// clock writes seconds as h:mm:ss, or m:ss below an hour, as the server does.
export function clock(seconds) {
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return (hours > 0 ? `${hours}:${two(minutes)}` : minutes) + ":" + two(seconds % 60);
}

// follow sets the countdowns to what Curfew said. It says whole seconds: a difference of one is no news.
function follow(status) {
  for (const timer of timers) {
    const told = end(status[timer.field]);
    if (Math.abs(told - timer.end) > 1000) timer.end = told;
  }
  show();
}

function show() {
  for (const timer of timers) {
    const left = Math.max(0, Math.ceil((timer.end - Date.now()) / 1000));
    const text = clock(left);
    if (timer.text.textContent === text) continue;
    timer.text.textContent = text;
    timer.bar.max = Math.max(timer.bar.max, left);
    timer.bar.value = left;
  }
}

// ask asks Curfew how long the session lasts, which does not prolong it; null is no answer.
export async function ask() {
  try {
    const answer = await fetch("/.session/status", { cache: "no-store" });
    const status = await answer.json();
    if (typeof status.state !== "string") return null;
    follow(status);
    return status;
  } catch {
    return null; // no Curfew, or one without browser.path
  }
}

for (const event of ["curfew:warning", "curfew:extended"]) {
  document.addEventListener(event, ({ detail }) => follow(detail));
}
// Other tabs move the idle deadline, too. session.js tells them, and this, when it has kept a session or lost it.
const tabs = new BroadcastChannel("curfew:/.session/");
let asking = false; // many tabs may speak at once
tabs.onmessage = async () => {
  if (asking) return;
  asking = true;
  await ask();
  asking = false;
};
document.addEventListener("visibilitychange", () => document.hidden || ask());
setInterval(show, 250);
show();
