import { ask, complain, home, once } from "./talk.js";

const files = document.getElementById("files");
const judged = document.getElementById("judged");
const finder = document.getElementById("viewfinder");
const video = finder?.querySelector("video");
const guide = finder?.querySelector(".guide");
const oval = finder?.querySelector(".oval");
let stream = null;
let fresh = false; // something was accepted: the page is reloaded when the rider is done

async function send(blob, name) {
  const line = document.createElement("li");
  const picture = document.createElement("img");
  picture.src = URL.createObjectURL(blob);
  picture.alt = name;
  picture.onerror = () => picture.removeAttribute("src");
  const words = document.createElement("p");
  words.textContent = "Looking at it…";
  line.append(picture, words);
  judged.prepend(line);
  const form = new FormData();
  form.append("photo", blob, name);
  const answer = await ask("POST", `${home}/photos`, form);
  line.className = answer.ok ? "taken" : "refused";
  const verdict = document.createElement("strong");
  verdict.textContent = answer.status === 200 ? "We already have this photo." : answer.ok ? "Accepted." : answer.body.message ?? "That did not work.";
  words.replaceChildren(verdict, ` ${answer.body.advice ?? ""}`);
  if (answer.ok) {
    fresh = true;
    words.append(` You have ${answer.body.photos.length}.`);
    document.getElementById("face-words").textContent = answer.body.face;
  }
  return answer.ok;
}

async function sendChosen() {
  let all = files.files.length > 0;
  for (const file of files.files) all = (await send(file, file.name)) && all;
  files.value = "";
  if (all) location.reload();
  else if (fresh) await refresh();
}
files?.addEventListener("change", sendChosen);
if (files?.files.length) sendChosen(); // chosen before this script had come over a slow line

// Brings the list of accepted photos up to date and leaves the refusals where they are.
async function refresh() {
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  for (const id of ["accepted", "count", "done"]) {
    const part = page.getElementById(id);
    if (part) document.getElementById(id).replaceWith(document.adoptNode(part));
  }
  listen();
}

function listen() {
  for (const button of document.querySelectorAll("[data-drop]")) {
    button.onclick = () =>
      once(button, async () => {
        const answer = await ask("DELETE", `${home}/photos/${button.dataset.drop}`);
        if (answer.ok) location.reload();
        else complain(document, answer);
      });
  }
}
listen();

// A picture as the server sees it: not mirrored, at most `side` pixels on its longer side.
function picture(side, quality) {
  const scale = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

// Changes the words only when they are others, or a screen reader would repeat itself.
function say(message, advice) {
  const [first, second] = guide.children;
  if (first.textContent !== message) first.textContent = message;
  if (second.textContent !== advice) second.textContent = advice;
}

// Asks the server what it thinks of the live picture; nothing of it is measured or kept.
async function watch() {
  while (stream) {
    if (video.videoWidth) {
      const form = new FormData();
      form.append("photo", await picture(640, 0.8), "glance.jpg");
      const answer = await ask("POST", `${home}/photos/glance`, form);
      if (!stream) return;
      oval.classList.toggle("good", answer.body.good === true);
      say(answer.body.message ?? "", answer.body.advice ?? "");
    }
    await new Promise((done) => setTimeout(done, 600));
  }
}

function close() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  finder.hidden = true;
  document.getElementById("ways").hidden = false;
}

document.getElementById("camera")?.addEventListener("click", async (event) => {
  if (!navigator.mediaDevices?.getUserMedia) {
    return complain(document, { body: { message: "This browser gives no camera here (it needs https). Choose a photo instead." } });
  }
  await once(event.target, async () => {
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 960 } },
      });
    } catch {
      return complain(document, { body: { message: "The camera is not allowed or not there. Choose a photo instead." } });
    }
    complain(document, null);
    video.srcObject = stream;
    finder.hidden = false;
    document.getElementById("ways").hidden = true;
    await video.play();
    watch();
  });
});
document.getElementById("stop")?.addEventListener("click", () => {
  close();
  if (fresh) location.reload();
});
document.getElementById("shoot")?.addEventListener("click", (event) =>
  once(event.target, async () => {
    if (await send(await picture(1600, 0.93), "Photo from the camera")) await refresh();
  }),
);
addEventListener("pagehide", close);
