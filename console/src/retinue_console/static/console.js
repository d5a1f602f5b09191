// What every page does: the key of the search, and leaving without delay.

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
  if (form.method !== "get") return;
  // Not as a form: a proxy that asks to sign in first may redirect it elsewhere, which form-action forbids.
  event.preventDefault();
  const address = new URL(form.action);
  address.hash = "";
  address.search = new URLSearchParams(new FormData(form, event.submitter));
  location.assign(address);
});

window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
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
