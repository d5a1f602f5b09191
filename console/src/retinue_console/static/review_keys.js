// Keys of the review page and their actions. People can change them, or turn them off.
import { stored, store } from "./review_store.js";

const STORE = "retinue-review-keys";

export const ACTIONS = {
  next: ["ArrowDown", "Next finding"],
  previous: ["ArrowUp", "Previous finding"],
  accept: ["a", "Accept the finding"],
  acceptAll: ["A", "Accept all that are undecided"],
  reject: ["x", "Reject the finding, or remove what you added"],
  unsure: ["q", "Unsure about the finding"],
  relabel: ["l", "Give it another label"],
  new: ["n", "New box: drag, or click two corners; again for one to move by keys"],
  newLabel: ["w", "New label of the whole image"],
  arrows: ["m", "Arrow keys move the box, then resize it, then choose findings"],
  exhaustive: ["e", "Everything is marked"],
  save: ["Enter", "Save, and show the next image"],
  skip: ["s", "Skip the image"],
  undo: ["u", "Undo the last save"],
  hide: ["h", "Hide or show the boxes"],
  zoomIn: ["+", "Zoom in"],
  zoomOut: ["-", "Zoom out"],
  help: ["?", "Show the keys"],
};

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", " ": "Space" };

export class Keys {
  #kept = stored("localStorage", STORE) ?? {};

  get areOn() {
    return this.#kept.off !== true;
  }

  set areOn(on) {
    this.#keep({ ...this.#kept, off: !on });
  }

  /** Return the key of an action. */
  key(action) {
    return this.#kept.keys?.[action] ?? ACTIONS[action][0];
  }

  /** Return the action of a pressed key; undefined if it has none. */
  action(key) {
    return Object.keys(ACTIONS).find((action) => this.key(action) === key);
  }

  /** Give an action another key. An action that had it gets the old one. */
  change(action, key) {
    const other = this.action(key);
    const keys = { ...this.#kept.keys, [action]: key };
    if (other !== undefined && other !== action) keys[other] = this.key(action);
    this.#keep({ ...this.#kept, keys });
  }

  reset() {
    this.#keep({ off: this.#kept.off });
  }

  #keep(kept) {
    this.#kept = kept;
    store("localStorage", STORE, kept);
  }
}

/** Return the pressed key as it is without Caps Lock, which would make other actions of letters. */
export function keyOf(event) {
  if (event.key.length !== 1 || !event.getModifierState("CapsLock")) return event.key;
  return event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase();
}

/** Return how a key is written. */
export function named(key) {
  return NAMES[key] ?? key;
}

/** Fill the table of keys; each button waits for the new key. */
export function fillTable(table, keys, changed) {
  table.replaceChildren(
    ...Object.entries(ACTIONS).map(([action, [, purpose]]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = named(keys.key(action));
      button.setAttribute("aria-label", `${purpose}: ${named(keys.key(action))}. Change the key`);
      button.addEventListener("click", () => {
        button.textContent = "press a key";
        button.addEventListener(
          "keydown",
          (event) => {
            event.preventDefault();
            event.stopPropagation();
            if (!["Escape", "Tab", "Shift", "Control", "Alt", "Meta", "CapsLock"].includes(event.key)) {
              keys.change(action, keyOf(event));
            }
            changed();
          },
          { once: true },
        );
      });
      const row = document.createElement("tr");
      const name = document.createElement("th");
      name.scope = "row";
      name.textContent = purpose;
      const cell = document.createElement("td");
      cell.append(button);
      row.append(name, cell);
      return row;
    }),
  );
}
