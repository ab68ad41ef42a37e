import { ask, complain, home, once } from "./talk.js";

const form = document.getElementById("homes");
const saved = document.getElementById("saved");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  once(form.querySelector("button"), async () => {
    const chosen = [...form.querySelectorAll("select")].map((each) => each.value).filter(Boolean);
    const answer = await ask("PUT", `${home}/homes`, { station_ids: chosen });
    complain(form, answer.ok ? null : answer);
    saved.hidden = !answer.ok;
  });
});
form.addEventListener("change", () => (saved.hidden = true));
