// Talks to the API for every page: one place for errors, times and buttons.

export const rider = document.querySelector("meta[name=rider]")?.content ?? "";
export const home = `/api/riders/${rider}`;

// Returns {ok, status, body}; never throws, so that no tap on a button goes unanswered.
export async function ask(method, path, body) {
  const options = { method, headers: {}, credentials: "same-origin" };
  if (body instanceof FormData) {
    options.body = body;
  } else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  try {
    const response = await fetch(path, options);
    const text = await response.text();
    return { ok: response.ok, status: response.status, body: text ? JSON.parse(text) : {} };
  } catch {
    return { ok: false, status: 0, body: { message: "No connection. Please try again." } };
  }
}

export function complain(place, answer) {
  const problem = place.querySelector(".problem") ?? document.querySelector(".problem");
  problem.hidden = !answer;
  problem.textContent = answer ? answer.body.message ?? "That did not work." : "";
}

// Runs a task with the button switched off, so that an impatient finger does it once.
export async function once(button, task) {
  button.disabled = true;
  try {
    await task();
  } finally {
    button.disabled = false;
  }
}

for (const time of document.querySelectorAll("time[datetime]")) {
  const when = new Date(time.dateTime);
  time.textContent = when.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

for (const button of document.querySelectorAll("[data-sign-out]")) {
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    await ask("DELETE", "/api/session");
    location.assign("/");
  });
}
