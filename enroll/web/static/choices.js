import { ask, complain, home, once } from "./talk.js";

for (const card of document.querySelectorAll("[data-purpose]")) {
  const button = card.querySelector("[role=switch]");
  button.addEventListener("click", () =>
    once(button, async () => {
      const given = button.getAttribute("aria-checked") !== "true";
      const answer = await ask("POST", `${home}/consents`, {
        purpose: card.dataset.purpose,
        given,
        text_version: Number(card.dataset.version),
      });
      if (!answer.ok) return complain(card, answer);
      complain(card, null);
      show(answer.body);
    }),
  );
}

function show(rider) {
  for (const card of document.querySelectorAll("[data-purpose]")) {
    const purpose = card.dataset.purpose;
    const button = card.querySelector("[role=switch]");
    button.setAttribute("aria-checked", String(rider.consents[purpose]));
    button.disabled =
      rider.state === "withdrawn" ||
      (rider.minor && purpose !== "guardian" && !rider.consents.guardian && !rider.consents[purpose]);
  }
  const next = document.querySelector(".sticky a");
  next.href = rider.may.add_photos ? "/me/photos" : "/me";
  next.textContent = rider.may.add_photos ? "Next: photos" : "Done";
}
