// Counts the deadlines on the home page down. performance.now() is used because setting the computer's clock
// does not move it. It is a display only: the proxy decides when a session is over.
const start = performance.now();
const timers = document.querySelectorAll("[data-seconds]");
const over = document.querySelector("[data-over]");

// clock writes seconds as h:mm:ss, or m:ss below an hour, as the server does.
function clock(seconds) {
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return (hours > 0 ? `${hours}:${two(minutes)}` : minutes) + ":" + two(seconds % 60);
}

function tick() {
  const passed = performance.now() - start;
  for (const timer of timers) {
    const left = Math.max(0, Math.ceil(timer.dataset.seconds - passed / 1000));
    timer.textContent = clock(left);
    if (left === 0 && over.textContent === "") {
      over.textContent = over.dataset.over; // a status: screen readers announce it, once
    }
  }
  setTimeout(tick, 1000 - (passed % 1000));
}
tick();
