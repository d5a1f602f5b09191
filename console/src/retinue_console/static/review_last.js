// The page after the last image of a queue: shows the result of the last save, and undoes it.
import { last, sentence, undoLast } from "./review_save.js";

const place = document.getElementById("last");
const saved = last.read(place.dataset.queue, place.dataset.person);
if (saved !== null) {
  const text = document.createElement("p");
  text.textContent = `${sentence(saved)} `;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Undo";
  button.addEventListener("click", () => {
    undoLast(place.dataset.address, saved, (message) => (text.textContent = message)).catch(
      (error) => (text.textContent = error.message),
    );
  });
  text.append(button);
  place.replaceChildren(text);
  place.hidden = false;
}
