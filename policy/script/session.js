// Curfew in a page: it asks the filter how long the session lives, warns the person in time, and leaves
// the page when the session is over. docs/browser.md says how to use it. It needs nothing but the browser,
// and no more rights than `default-src 'self'` gives: no markup from strings, no style or script in the page.
(() => {
  "use strict";

  // A module has no currentScript, so it is looked for.
  const script = document.currentScript || document.querySelector('script[src*="/session.js"]');
  const once = Symbol.for("curfew");
  if (!script?.src || window[once]) return;
  window[once] = true;

  const folder = new URL(".", script.src).pathname;
  const texts = {
    title: "Your session is about to end",
    text: "You will be signed out in {time}.",
    final: "You will be signed out in {time}. This cannot be put off: please save your work.",
    extend: "Stay signed in",
    logout: "Sign out",
    close: "Close",
  };

  // Milliseconds, all by Date.now(): a timer does not run while the computer sleeps.
  const STEP = 15e3; // between two looks at the clock: a long timer would be late after a sleep
  const RETRY = 5e3; // and twice as long after each failure
  const MOST = 60e3;
  const PATIENCE = 10e3; // for one request
  const THROTTLE = 20e3; // between two keepalives for activity

  const CALM = 0;
  const WARNED = 1;
  const OVER = 2;

  let status; // the last answer
  let off = false; // no filter answers here
  let seen = false; // a session has lived in this page
  let phase = CALM;
  let quiet = false; // the app or the person does not want the dialog
  let due = Infinity; // when to ask again
  let endAt = 0; // when the session will be over
  let final = false; // nothing can put that off
  let askedAt = 0;
  let retry = RETRY;
  let lookedAt = 0;
  let timer;

  // ---- asking ----

  let line = Promise.resolve();
  let probe; // stops the status that is under way

  // One request at a time: answers could overtake each other, and an older one undo a newer one.
  // A keepalive does not wait for a status, since its own answer says the same and later.
  function send(path, method) {
    if (method) probe?.abort();
    const next = () => request(path, method);
    return (line = line.then(next, next));
  }

  // Of those who ask while a request still waits for its turn, all get its answer.
  const waiting = {};
  const ask = () => (waiting.status ??= send("status"));
  const extend = () => (waiting.keepalive ??= send("keepalive", "POST"));

  async function request(path, method) {
    const control = new AbortController();
    const patience = setTimeout(() => control.abort(), PATIENCE);
    const at = (askedAt = Date.now());
    let response;
    let answer;
    probe = method ? null : control;
    waiting[path] = null;
    due = Infinity;
    try {
      // The filter answers for the page that the Referer names, so no policy of the page may hide it.
      response = await fetch(folder + path, {
        method, cache: "no-store", redirect: "manual", referrerPolicy: "same-origin", signal: control.signal,
      });
      answer = await response.json();
    } catch (error) {
      if (error.name == "SyntaxError") answer = {};
    }
    clearTimeout(patience);
    probe = null;
    if (answer?.idle_in >= 0) take(answer, at, method);
    else if (answer && !status && response.status < 500 && response.status != 429) off = true;
    else {
      due = Date.now() + retry;
      retry = Math.min(2 * retry, MOST);
    }
    look();
    return status == answer ? answer : undefined;
  }

  // ---- what an answer means ----

  function take(answer, at, kept) {
    const live = answer.state == "ok";
    const before = status && status.state == "ok";
    status = answer;
    retry = RETRY;
    // Pages answer each other's words with a question only, and speak of a change only: it ends.
    if (before !== live || (kept && live)) tell(live ? "seen" : "over");
    if (live) takeLive(at, kept);
    // Somebody who never logged in has nothing to lose, unless it was another who was logged in here.
    else if (answer.state == "anonymous" ? seen && answer.required : seen || answer.required) end();
    else relax();
  }

  function takeLive(at, kept) {
    seen = true;
    final = status.expires_in <= status.idle_in;
    endAt = at + Math.min(status.idle_in, status.expires_in) * 1e3;
    if (status.warn_in > 0) {
      due = at + status.warn_in * 1e3;
      if (relax()) emit("extended");
    } else {
      due = endAt;
      if (kept) emit("extended"); // only the idle timeout was: the absolute one is near
      warn();
    }
    // The filter counts whole seconds, so an answer may say that it is time, yet not quite.
    due = Math.max(due, Date.now() + 1e3);
  }

  function relax() {
    const before = phase;
    phase = CALM;
    hide();
    return before;
  }

  function warn() {
    if (phase != WARNED) {
      phase = WARNED;
      quiet = !emit("warning", { extend });
    }
    // A browser without dialogs (before 2022) still tells the app, and leaves in time.
    if (!quiet && window.HTMLDialogElement) show();
  }

  function end() {
    hide();
    if (phase == OVER) return;
    phase = OVER;
    if (emit("expired")) location.replace(folder + "end" + why() + "?" + location.pathname + location.search);
  }

  // Where another tab came first, the cookies that say why are gone. This page has known when, and by what.
  function why() {
    if (status.state.endsWith("_timeout")) return "/" + status.state;
    // Answers count whole seconds.
    if (!seen || status.state != "absent" || Date.now() < endAt - 2e3) return "";
    return final ? "/absolute_timeout" : "/idle_timeout";
  }

  // False: the app wants to act by itself.
  function emit(name, more) {
    const detail = { ...status, ...more };
    return document.dispatchEvent(new CustomEvent("curfew:" + name, { detail, cancelable: name != "extended" }));
  }

  // ---- time ----

  function look() {
    clearTimeout(timer);
    const now = Date.now();
    // A clock that was set back would put the warning off.
    if (now >= due || (now < lookedAt && due < Infinity)) {
      due = Infinity;
      ask();
    }
    lookedAt = now;
    if (host) count();
    if (host || due < Infinity) timer = setTimeout(look, Math.min(host ? 1e3 : STEP, Math.max(due - now, 0)));
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !off && Math.abs(Date.now() - askedAt) > 2e3) ask();
  });

  // ---- tabs ----

  let channel;
  let leaving = false; // by the dialog's button

  function join() {
    try {
      channel = new BroadcastChannel("curfew:" + folder);
      channel.onmessage = ({ data }) => {
        if (!off && (data == "over" ? status?.state == "ok" : phase)) ask();
      };
    } catch {
      // Too old a browser, or one that keeps tabs apart: each asks by itself when its time comes.
    }
  }

  const tell = (word) => channel?.postMessage(word);

  addEventListener("pagehide", () => {
    // Not sooner: now the next page has come, so the logout is done.
    if (leaving) tell("over");
    // An open channel keeps a page out of the browser's back/forward cache.
    channel?.close();
    channel = null;
  });
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    join();
    // The app may have left this page by itself, and the person come back.
    if (phase == OVER) phase = CALM;
    if (!off) ask();
  });

  // ---- activity ----

  let keptAt = 0;
  let pending = 0;

  // The last activity is told, too, only later: idle time may be cut short by the throttle, never stretched further.
  function active() {
    if (pending || phase || status?.state != "ok") return;
    const gap = Math.min(THROTTLE, status.idle_in * 250);
    const wait = Math.min(gap, Math.max(0, keptAt + gap - Date.now()));
    pending = setTimeout(() => {
      pending = 0;
      keptAt = Date.now();
      extend();
    }, wait);
  }

  if ("activity" in script.dataset) {
    for (const type of ["keydown", "pointerdown", "pointermove", "touchstart", "wheel", "scroll"]) {
      addEventListener(type, active, { capture: true, passive: true });
    }
  }

  // ---- dialog ----

  let host; // holds the dialog while it is open

  const css =
    ":host{all:initial;display:contents;color-scheme:light dark}" +
    "dialog{box-sizing:border-box;width:28em;max-width:calc(100% - 2em);padding:1.5em;border:1px solid #888;" +
    "border-radius:var(--curfew-radius,.5em);font:var(--curfew-font,medium/1.5 system-ui,sans-serif);" +
    "background:var(--curfew-background,Canvas);color:var(--curfew-text,CanvasText)}" +
    "dialog::backdrop{background:rgb(0 0 0/.6)}" +
    "h2{font-size:1.25em;line-height:1.3;margin:0}" +
    "p{margin:.75em 0 1.5em;font-variant-numeric:tabular-nums}" +
    // For ears only.
    "[aria-live]{position:absolute;width:1px;height:1px;margin:0;overflow:hidden;clip-path:inset(50%)}" +
    "div{display:flex;flex-wrap:wrap;gap:.75em}" +
    "form{display:contents}" +
    // The border of the first is for forced colors, which take the background away.
    "button{flex:auto;min-height:2.75em;padding:.5em 1em;border:1px solid;" +
    "border-radius:var(--curfew-radius,.5em);background:none;color:inherit;font:inherit;cursor:pointer}" +
    "div>button{border-color:transparent;background:var(--curfew-accent,#1a6adb);color:var(--curfew-accent-text,#fff)}" +
    "button:focus{outline:3px solid;outline-offset:2px;outline-color:var(--curfew-text,CanvasText)}";

  // No innerHTML: a page may forbid it (Trusted Types).
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    element.append(...children);
    return element;
  }

  // Our own words are English, whatever the page's language.
  function say(name, tag, attributes) {
    const text = script.dataset[name];
    return make(tag, text ? attributes : { lang: "en", ...attributes }, text || texts[name]);
  }

  function show() {
    if (host?.isConnected && host.last == final) return;
    hide();
    const last = final;
    const mine = (host = make("curfew-session"));
    const first = say(last ? "close" : "extend", "button", { type: "button" });
    const text = say(last ? "final" : "text", "p", { id: "text" });
    const live = make("p", { "aria-live": "assertive", ...(text.lang && { lang: text.lang }) });
    const logout = make("form", { method: "post", action: folder + "logout" }, say("logout", "button"));
    const dialog = make("dialog", { role: "alertdialog", "aria-labelledby": "title", "aria-describedby": "text" },
      say("title", "h2", { id: "title" }), text, live, make("div", {}, first, logout));

    // The mildest act, for the first button and for Escape.
    const act = () => {
      if (!last) return extend();
      quiet = true;
      hide();
    };
    first.onclick = act;
    dialog.oncancel = (event) => {
      if (!event.cancelable) return; // it closes in any case, which acts
      event.preventDefault();
      act();
    };
    // Browsers close a dialog on a second Escape without asking.
    dialog.onclose = () => {
      if (host != mine) return;
      hide();
      act();
    };
    logout.onsubmit = () => {
      leaving = true;
    };
    // Keys in here are not for the app, whose own dialog may be open below.
    host.addEventListener("keydown", (event) => event.stopPropagation());

    Object.assign(host, { last, dialog, text, live, template: text.textContent });
    const root = host.attachShadow({ mode: "open" });
    if (root.adoptedStyleSheets) {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(css);
      root.adoptedStyleSheets = [sheet];
    }
    root.append(dialog);
    // Not in body: apps swap that, or hide from screen readers what comes new into it.
    document.documentElement.append(host);
    count();
    dialog.showModal();
  }

  // The browser gives the focus back to where it was.
  function hide() {
    const old = host;
    host = null;
    old?.dialog.close();
    old?.remove();
  }

  // The time runs visibly, and is spoken at a few moments only.
  function count() {
    const left = Math.max(0, Math.ceil((endAt - Date.now()) / 1e3));
    const text = host.template.replace("{time}", spell(left, host.text.lang));
    if (host.text.textContent != text) host.text.textContent = text;
    if ([30, 20, 10].some((mark) => left <= mark && mark < host.left)) host.live.textContent = text;
    host.left = left;
  }

  function spell(seconds, lang) {
    const unit = (n, unit) => new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "long" }).format(n);
    try {
      lang = Intl.getCanonicalLocales(lang || document.documentElement.lang);
    } catch {
      lang = "en"; // the page's language has no such name
    }
    const minutes = Math.floor(seconds / 60);
    const rest = seconds % 60;
    if (!minutes) return unit(rest, "second");
    return unit(minutes, "minute") + (rest ? " " + unit(rest, "second") : "");
  }

  join();
  ask();
})();
