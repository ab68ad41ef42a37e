import { ask, complain, home, once } from "./talk.js";

for (const button of document.querySelectorAll("[data-post]")) {
  button.addEventListener("click", () =>
    once(button, async () => {
      const answer = await ask("POST", `${home}/${button.dataset.post}`);
      if (answer.ok) location.assign("/me");
      else complain(button.closest("section"), answer);
    }),
  );
}

document.getElementById("make-key")?.addEventListener("click", (event) =>
  once(event.target, async () => {
    const answer = await ask("POST", `${home}/key`);
    const place = document.getElementById("new-key");
    place.hidden = false;
    place.querySelector("code").textContent = answer.ok ? answer.body.key : answer.body.message;
  }),
);

const checkIn = document.getElementById("check-in");
checkIn?.addEventListener("submit", (event) => {
  event.preventDefault();
  once(checkIn.querySelector("button"), async () => {
    const station = checkIn.querySelector("select").value;
    const answer = await ask("POST", `${home}/check-ins`, { station_id: station });
    complain(checkIn.closest("section"), answer.ok ? null : answer);
    if (!answer.ok) return;
    const until = new Date(answer.body.until).toLocaleTimeString([], { timeStyle: "short" });
    document.getElementById("expected").textContent =
      `${answer.body.station} expects you until ${until}.`;
  });
});
