// Saving: nothing that was entered is lost. A save that fails is sent again, with the same key;
// a draft survives a reload.
import { stored, store } from "./review_store.js";

const PAUSES_SECONDS = [2, 4, 8, 15];

/** Return a random UUID, also where the page came by plain HTTP. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Post JSON until there is an answer.
 *
 * @param {string} address
 * @param {object} body
 * @param {(message: string) => void} tell Called with the error and the time of the next attempt.
 * @returns {Promise<object>} The answer.
 * @throws {Error} The server refuses it for good; the message has the reason.
 */
export async function post(address, body, tell) {
  for (let attempt = 0; ; attempt += 1) {
    let reason;
    try {
      const response = await fetch(address, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify(body),
        redirect: "manual", // a proxy's, to its page to sign in
      });
      const answer = await response.json().catch(() => null);
      if (response.ok && answer !== null) return answer;
      if (response.ok || response.status === 401 || response.type === "opaqueredirect") {
        throw new Error("You are signed out. Sign in in another tab, then save again.");
      }
      reason = answer?.message ?? `The server answered ${response.status}.`;
      if (response.status < 500) throw new Error(reason);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      reason = "The console can't be reached.";
    }
    const seconds = PAUSES_SECONDS[Math.min(attempt, PAUSES_SECONDS.length - 1)];
    tell(`Not saved yet: ${reason} Trying again in ${seconds} s. Keep this page open; your answer is kept on this machine too.`);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

/** A person's draft of one image of a queue. People who share a browser don't see each other's. */
export class Draft {
  #name;

  constructor(queue, imageId, person) {
    this.#name = `retinue-draft ${queue} ${imageId} ${person}`;
  }

  read() {
    return stored("localStorage", this.#name);
  }

  /** Keep the draft; return whether the browser does. */
  write(draft) {
    return store("localStorage", this.#name, draft);
  }

  remove() {
    store("localStorage", this.#name, null);
  }
}

const LAST = "retinue-last";

/** A person's last save in this tab, to undo it. */
export const last = {
  read: (queue, person) => {
    const found = stored("sessionStorage", LAST);
    return found?.queue === queue && found.person === person ? found : null;
  },
  write: (saved) => store("sessionStorage", LAST, saved),
  remove: () => store("sessionStorage", LAST, null),
};

/** Show the result of the last save. */
export function sentence(saved) {
  const states = {
    settled: "It is settled.",
    open: "Others will answer it, too.",
    disputed: "People disagree about it, so an adjudicator decides.",
  };
  const parts = saved.skipped ? [`Skipped ${saved.name}.`] : [`Saved ${saved.name}.`, states[saved.state] ?? ""];
  if (saved.late) parts.push("Your lease had ended, so others may have answered it, too.");
  return parts.join(" ");
}

/** Undo the last save, and open its image with its answer. */
export async function undoLast(address, saved, tell) {
  await post(`${address}/undo`, { image_id: saved.image_id, answer_id: saved.answer_id, key: uuid() }, tell);
  if (saved.draft) new Draft(saved.queue, saved.image_id, saved.person).write(saved.draft);
  last.remove();
  location.assign(`${address}?image=${saved.image_id}${saved.adjudicates ? "&adjudicate=true" : ""}`);
}
