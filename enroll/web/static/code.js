import { ask, complain, home } from "./talk.js";

const box = document.getElementById("code");
const bar = document.getElementById("left");
const says = document.getElementById("says");
let ends = 0; // performance.now() at which the shown code expires; the phone's clock is not asked
let next = 0; // and at which a new one is fetched
let asking = false;
let told = "";

async function fetchCode() {
  asking = true;
  const before = performance.now();
  const answer = await ask("GET", `${home}/code`);
  asking = false;
  if (!answer.ok) {
    next = performance.now() + (answer.status ? 10_000 : 2_000);
    complain(document, answer);
    return;
  }
  complain(document, null);
  const drawn = new DOMParser().parseFromString(answer.body.svg, "image/svg+xml").documentElement;
  box.replaceChildren(document.adoptNode(drawn));
  box.classList.remove("stale");
  ends = before + answer.body.valid_s * 1000;
  next = before + answer.body.refresh_s * 1000;
  bar.max = answer.body.valid_s;
  tick();
}

function tick() {
  const now = performance.now();
  if (!asking && now >= next && !document.hidden) fetchCode();
  if (!ends) return;
  const left = Math.max(0, (ends - now) / 1000);
  bar.value = left;
  box.classList.toggle("stale", left === 0);
  const words = left > 0 ? `Good for ${Math.ceil(left)} s` : "Expired; waiting for a new code…";
  if (words !== told) says.textContent = told = words;
}

fetchCode();
setInterval(tick, 250);
document.addEventListener("visibilitychange", tick);
// Keeps the screen on while the code shows, where the browser can.
navigator.wakeLock?.request("screen").catch(() => {});
