// What session.d.ts must take and what it must refuse, for `make lint`.
/// <reference path="session.d.ts" />

document.addEventListener("curfew:warning", (event) => {
  const { idle_in, expires_in, extend } = event.detail;
  event.preventDefault();
  void extend().then((status) => status?.warn_in === Math.min(idle_in, expires_in));
});
document.addEventListener("curfew:extended", ({ detail }) => detail.subject?.length);
document.addEventListener("curfew:expired", ({ detail }) => detail.state === "idle_timeout");

// @ts-expect-error: only a warning can be answered.
document.addEventListener("curfew:extended", ({ detail }) => detail.extend());
// @ts-expect-error: no such state.
document.addEventListener("curfew:expired", ({ detail }) => detail.state === "logged_out");
// @ts-expect-error: seconds are numbers.
document.addEventListener("curfew:warning", ({ detail }) => detail.idle_in.length);
// @ts-expect-error: there may be no answer.
document.addEventListener("curfew:warning", ({ detail }) => detail.extend().then((status) => status.state));
