import { ask, complain, home, once } from "./talk.js";

function wire(button, send) {
  button?.addEventListener("click", () =>
    once(button, async () => {
      const answer = await send();
      if (answer.ok || answer.status === 409) location.reload();
      else complain(button.closest("section"), answer);
    }),
  );
}

for (const button of document.querySelectorAll("[data-top-up]")) {
  // One id a page and button: a second tap while the first is under way adds nothing.
  const id = crypto.randomUUID?.() ?? "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
    (+c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (+c / 4)))).toString(16));
  wire(button, () => ask("POST", `${home}/top-ups`, { top_up_id: id, minor_units: Number(button.dataset.topUp) }));
}
wire(document.getElementById("use-wallet"), () => ask("PUT", `${home}/means`, { kind: "wallet" }));

const card = document.getElementById("use-card");
card?.addEventListener("submit", (event) => {
  event.preventDefault();
  once(card.querySelector("button"), async () => {
    const token = new FormData(card).get("token");
    const answer = await ask("PUT", `${home}/means`, { kind: "card", token });
    if (answer.ok) location.reload();
    else complain(card.closest("section"), answer);
  });
});
