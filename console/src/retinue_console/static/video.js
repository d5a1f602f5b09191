// A video and its timeline: choosing an appearance plays it, and playing marks current appearances.

const video = document.getElementById("video");
const timeline = document.getElementById("timeline");
const appearances = [...document.querySelectorAll("[data-from]")];

const isNow = ({ dataset }, ms) => Number(dataset.from) <= ms && ms <= Number(dataset.to);

function mark() {
  const ms = video.currentTime * 1000;
  for (const line of document.querySelectorAll(".timeline .now")) {
    line.setAttribute("x1", ms);
    line.setAttribute("x2", ms);
  }
  for (const one of appearances) {
    if (one.localName === "rect") one.setAttribute("visibility", isNow(one, ms) ? "visible" : "hidden");
    else one.classList.toggle("now", isNow(one, ms));
  }
}

function seek(seconds) {
  if (Number.isFinite(seconds)) video.currentTime = seconds;
  mark();
}

/** Go to the time in the address, such as #t=12.5. */
function follow() {
  const time = location.hash.match(/^#t=([0-9.]+)$/);
  if (time !== null) seek(Number(time[1]));
}

// One stop of the Tab key for each row, and arrow keys within it.
for (const row of timeline?.querySelectorAll("svg") ?? []) {
  row.querySelectorAll("a").forEach((one, index) => one.setAttribute("tabindex", index === 0 ? "0" : "-1"));
}
timeline?.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  const all = [...timeline.querySelectorAll("svg a")];
  const place = all.indexOf(event.target.closest?.("svg a"));
  if (place < 0 || !(event.key in steps)) return;
  event.preventDefault();
  const isRow = event.key === "ArrowDown" || event.key === "ArrowUp";
  const rows = [...timeline.querySelectorAll("svg")];
  const row = rows.indexOf(all[place].closest("svg")) + steps[event.key];
  const next = isRow ? rows[row]?.querySelector("a") : all[place + steps[event.key]];
  next?.focus();
});

/** Say why the video isn't played: its file isn't available, or the browser can't. */
async function explain() {
  const place = document.getElementById("video-problem");
  try {
    const response = await fetch(video.src, { headers: { Accept: "application/json", Range: "bytes=0-0" } });
    const text = response.ok ? "" : await response.text();
    if (text !== "") place.textContent = text.startsWith("{") ? JSON.parse(text).message : text;
  } catch {
    place.textContent = "The console can't be reached. Reload the page to try again.";
  }
  place.hidden = false;
}

document.addEventListener("click", (event) => {
  const chosen = event.target.closest?.("a[data-from]");
  if (chosen) seek(Number(chosen.dataset.from) / 1000);
});
for (const name of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(name, mark);
video.addEventListener("loadedmetadata", follow, { once: true });
window.addEventListener("hashchange", follow);
video.addEventListener("error", explain);
if (video.error) explain();
if (video.readyState > 0) follow();
mark();
