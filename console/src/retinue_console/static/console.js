// Keys that work on every page.

/** Return whether keys typed there are text. */
export function isText(element) {
  return element instanceof Element && element.closest("input, textarea, select, [contenteditable]") !== null;
}

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
