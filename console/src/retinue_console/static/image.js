// Links boxes and the list of detections both ways: what is under the pointer or has the focus in one
// is marked in the other.

function mark(id, isMarked) {
  for (const element of document.querySelectorAll(`[data-detection="${CSS.escape(id)}"]`)) {
    element.classList.toggle("marked", isMarked);
  }
}

for (const element of document.querySelectorAll("[data-detection]")) {
  const id = element.dataset.detection;
  for (const name of ["pointerenter", "focusin"]) element.addEventListener(name, () => mark(id, true));
  for (const name of ["pointerleave", "focusout"]) element.addEventListener(name, () => mark(id, false));
}
