import { ask, complain, once } from "./talk.js";

function onSubmit(id, send, goTo) {
  const form = document.getElementById(id);
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    once(form.querySelector("button"), async () => {
      const answer = await send(new FormData(form));
      if (answer.ok) location.assign(goTo);
      else complain(form, answer);
    });
  });
}

onSubmit(
  "sign-up",
  (fields) => ask("POST", "/api/riders", { name: fields.get("name"), minor: fields.get("age") === "minor" }),
  "/me/choices",
);
onSubmit("sign-in", (fields) => ask("POST", "/api/session", { key: fields.get("key") }), "/me");
