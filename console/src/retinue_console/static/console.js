// What every page does: the key of the search, forms, and leaving without delay.

const PATIENCE_MS = 20_000;

/** Return whether keys typed there are text. */
export function isText(element) {
  return element instanceof Element && element.closest("input, textarea, select, [contenteditable]") !== null;
}

/** Stop loading pictures when another page is asked for: they hold all connections to the console until they come. */
function stopPictures() {
  if ([...document.images].some((picture) => !picture.complete)) window.stop();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const isHere = link.pathname === location.pathname && link.search === location.search && link.hash !== "";
  const isFile = /\.csv$|\/original$/.test(link.pathname);
  if (!isHere && !isFile && link.target === "") stopPictures();
});

document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  stopPictures();
  const form = event.target;
  if (form.method === "post" && form.closest("main") !== null) {
    event.preventDefault();
    send(form);
  } else if (form.method === "get") {
    // Not as a form: a proxy that asks to sign in first may redirect it elsewhere, which form-action forbids.
    event.preventDefault();
    const address = new URL(form.action);
    address.hash = "";
    address.search = new URLSearchParams(new FormData(form, event.submitter));
    location.assign(address);
  }
});

let isSending = false;

/** Send a form once, or say below it why that isn't possible now: an error page would lose its fields. */
async function send(form) {
  if (isSending) return;
  isSending = true;
  const reasons = await reasonsAgainst();
  form.querySelector(".problem")?.remove();
  if (reasons === null) {
    form.submit();
    setTimeout(() => (isSending = false), PATIENCE_MS); // the person may have stopped it
    return;
  }
  isSending = false;
  const problem = Object.assign(document.createElement("p"), { className: "problem", role: "alert" });
  problem.append(...reasons);
  form.append(problem);
}

/** Ask the console whether it would accept a form; return null if so, else the text to show. */
async function reasonsAgainst() {
  const home = document.querySelector(".brand").href;
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(new URL("newest.json", home), { cache: "no-store", redirect: "manual", signal });
    const answer = await response.json().catch(() => null);
    if (response.status >= 500) return [answer?.message ?? `The server answered ${response.status}.`, " Nothing was sent. Try again."];
    if (response.status !== 401 && answer !== null) return null;
  } catch {
    return ["The console can't be reached. Nothing was sent. Try again."];
  }
  const link = Object.assign(document.createElement("a"), { href: home, target: "_blank", textContent: "Sign in in another tab" });
  return ["You are signed out. ", link, ", then send this again."];
}

window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  isSending = false;
  // The page came back as it was left: load the pictures that were stopped.
  for (const picture of document.images) if (picture.naturalWidth === 0) picture.src = picture.src;
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isText(event.target)) return;
  if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search !== null) {
      event.preventDefault();
      search.focus();
    }
  }
});
