// The review page: one image, the findings to decide about, and boxes to draw. The page works by
// keyboard alone; see review_keys.js.
import { isText } from "./console.js";
import { Boxes, nudged, overlap, withSide } from "./review_boxes.js";
import { ACTIONS, Keys, fillTable, keyOf, named } from "./review_keys.js";
import { Draft, last, post, sentence, undoLast, uuid } from "./review_save.js";
import { stored, store } from "./review_store.js";

const STEP = 0.005; // how far an arrow key moves a box
const LEASE_CHECK_MS = 240_000;
const MAX_SECONDS = 86_400; // that an answer may have taken
const HASTE_MS = 400; // a press this soon after another belongs to it
const RECENT = "retinue-recent-labels";
const REPEATED = new Set(["next", "previous", "zoomIn", "zoomOut"]); // actions of a key that is held
const WORDS = { accept: "accepted", reject: "rejected", change: "changed", add: "added", unsure: "unsure" };
const ARROWS = { choose: "Arrow keys choose findings.", move: "Arrow keys move the box.", resize: "Arrow keys resize the box." };
const SIGNS = { accept: "✓", reject: "✗", change: "✎", add: "+", unsure: "?" };

const page = document.getElementById("review");
const find = (id) => document.getElementById(id);
const task = JSON.parse(page.dataset.task);
const address = page.dataset.address;
const suggested = JSON.parse(page.dataset.labels);
const imageId = task.image.image_id;
const name = task.image.key.split("/").pop();
const keys = new Keys();
const { person } = page.dataset;
const draft = new Draft(task.queue, imageId, person);

let items = task.shown.map((shown) => ({ shown, decision: null, kind: shown.kind, label: shown.label, box: shown.box }));
let selected = items.length > 0 ? 0 : -1;
let arrows = "choose"; // action of arrow keys: choose, move or resize
let zoom = 1;
let key = uuid();
let sent = ""; // the last body sent with the key
let isSaving = false;
let isUndoAsked = false; // of the save that is on its way
let labelled = null; // what to do with the label that is asked for
let isWarned = false; // that undecided findings are left out
let calmAt = 0; // when a press no longer belongs to the one before
let clicked; // action of the last click
let seconds = 0;
let since = document.hidden ? null : performance.now();

// Drafts and answers of before

function asDraft() {
  // Without all that is known of findings: the browser keeps the drafts of images that nobody saved.
  const kept = items.map(({ shown, ...item }) => ({ ...item, shown: shown && slim(shown) }));
  return { items: kept, exhaustive: find("exhaustive").checked, key, sent };
}

const slim = ({ detection_id, kind, label, box }) => ({ detection_id, kind, label, box });

/**
 * Go on from a draft or an answer. A decision about a finding that a newer run replaced passes to the one
 * that this run has there; a thing that it didn't find becomes an addition.
 */
function resume(kept) {
  const ids = new Set(kept.items.map((item) => item.shown?.detection_id));
  for (const { decision, kind, label, box, shown } of kept.items) {
    if (decision === null) continue;
    const same = items.find((item) => item.shown && item.shown.detection_id === shown?.detection_id);
    const alike = shown ? items.filter((item) => isAlike(item.shown, shown)) : [];
    const newer = alike.find((item) => item.decision === null && !ids.has(item.shown.detection_id));
    if (same) Object.assign(same, { decision, label, box });
    else if (newer && decision === "change") correct(newer, { label, box });
    else if (newer) newer.decision = decision;
    else if (alike.length === 0 && decision !== "reject" && decision !== "unsure") items.push({ shown: null, decision: "add", kind, label, box });
  }
  find("exhaustive").checked = kept.exhaustive;
}

/** Return whether two findings are of the same thing: of one label, with boxes that overlap by half. */
function isAlike(one, other) {
  if (one?.kind !== other.kind || one.label !== other.label || (one.box === null) !== (other.box === null)) return false;
  return one.box === null || overlap(one.box, other.box) >= 0.5;
}

// Display

function say(text) {
  find("status").textContent = text;
}

function complain(text) {
  const place = find("problem");
  place.textContent = text;
  place.hidden = text === "";
}

function button(text, act, pressed) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.dataset.act = act;
  if (pressed !== undefined) made.setAttribute("aria-pressed", String(pressed));
  return made;
}

function lineOf(item, index) {
  const line = document.createElement("li");
  line.className = item.decision ?? "undecided";
  line.classList.toggle("selected", index === selected);
  const choose = document.createElement("button");
  choose.type = "button";
  choose.className = "finding";
  choose.dataset.select = index;
  if (index === selected) choose.setAttribute("aria-current", "true");
  const sign = document.createElement("span");
  sign.className = "sign";
  sign.textContent = SIGNS[item.decision] ?? "○";
  sign.setAttribute("aria-hidden", "true");
  const label = document.createElement("bdi");
  label.textContent = item.label;
  const state = document.createElement("span");
  state.className = "soft";
  const wasShown = item.shown ? ` · ${Math.round(item.shown.confidence * 100)} % by ${item.shown.detector}` : "";
  state.textContent = `${WORDS[item.decision] ?? "undecided"}${wasShown}${item.box === null ? " · whole image" : ""}`;
  choose.append(sign, label, state);
  line.append(choose);
  if (index === selected) line.append(toolsOf(item));
  return line;
}

function toolsOf(item) {
  const tools = document.createElement("div");
  tools.className = "acts";
  if (item.shown) {
    tools.append(button("Accept", "accept", item.decision === "accept"), button("Reject", "reject", item.decision === "reject"));
    tools.append(button("Unsure", "unsure", item.decision === "unsure"));
  } else {
    tools.append(button("Remove", "reject"));
  }
  tools.append(button("Relabel", "relabel"));
  if (item.box !== null) {
    const fields = document.createElement("fieldset");
    fields.className = "numbers";
    const title = document.createElement("legend");
    title.textContent = "Box in % of the picture";
    fields.append(title);
    ["left", "top", "width", "height"].forEach((side, place) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "number", min: 0, max: 100, step: 0.1, value: (item.box[place] * 100).toFixed(1) });
      input.dataset.side = place;
      label.append(side, input);
      fields.append(label);
    });
    tools.append(fields);
  }
  return tools;
}

function show() {
  const list = find("items");
  const hadFocus = list.contains(document.activeElement);
  list.replaceChildren(...items.map(lineOf));
  find("none").hidden = items.length > 0;
  boxes.show();
  const line = list.querySelector(".selected");
  if (line === null) return;
  if (hadFocus) {
    line.querySelector(".finding").focus({ preventScroll: true });
    line.scrollIntoView({ block: "nearest" });
  } else {
    // In the list alone: on a small screen, the page would scroll away from the picture.
    const top = line.offsetTop - list.offsetTop;
    list.scrollTop = Math.min(top, Math.max(list.scrollTop, top + line.offsetHeight - list.clientHeight));
  }
}

/** Display the selected item in the elements that are there: the focus may be on its way to one of them. */
function showNumbers() {
  const line = find("items").querySelector(".selected");
  const made = lineOf(items[selected], selected);
  line.className = made.className;
  for (const part of [".sign", ".soft"]) line.querySelector(part).textContent = made.querySelector(part).textContent;
  const controls = line.querySelectorAll("button, input");
  made.querySelectorAll("button, input").forEach((control, place) => {
    controls[place].value = control.value;
    if (control.ariaPressed !== null) controls[place].ariaPressed = control.ariaPressed;
  });
  boxes.show();
}

function changed(display = show) {
  isWarned = false;
  if (!isSaving) complain("");
  if (!draft.write(asDraft())) say("This browser keeps no drafts. Save before you leave this page.");
  display();
}

// Input

function select(index) {
  if (items.length === 0) return;
  selected = (index + items.length) % items.length;
  show();
}

/** Select a finding of the list, and show its place. */
function choose(index) {
  select(index);
  reveal();
}

function decide(decision) {
  const item = items[selected];
  if (item === undefined) return;
  if (!item.shown) {
    if (decision === "reject") {
      items.splice(selected, 1);
      selected = Math.min(selected, items.length - 1);
      changed();
    }
    return;
  }
  Object.assign(item, { decision, label: item.shown.label, box: item.shown.box, kind: item.shown.kind });
  const open = items.findIndex((one, index) => index > selected && one.decision === null);
  if (open >= 0) selected = open;
  changed();
  reveal();
}

function edit(index, change, display = show) {
  const item = items[index];
  if (item.shown) correct(item, change);
  else Object.assign(item, change, "label" in change && { kind: kindOf(change.label) });
  changed(display);
}

/** Give a finding another label or box; as shown, it is accepted. */
function correct(item, change) {
  Object.assign(item, change);
  const isAsShown = item.label === item.shown.label && JSON.stringify(item.box) === JSON.stringify(item.shown.box);
  item.decision = isAsShown ? "accept" : "change";
}

function add(box, label) {
  items.push({ shown: null, decision: "add", kind: kindOf(label), label, box });
  selected = items.length - 1;
  changed();
}

/** Return the kind with which detectors find a label. */
function kindOf(label) {
  const { kinds } = task.scope;
  const known = [...task.shown, ...suggested].filter((one) => one.label === label).map((one) => one.kind);
  const usual = [...new Set(suggested.map((one) => one.kind))];
  return known.find((kind) => kinds?.includes(kind) ?? true) ?? kinds?.[0] ?? (usual.length === 1 ? usual[0] : "label");
}

function recent() {
  return stored("localStorage", RECENT) ?? [];
}

function remember(label) {
  store("localStorage", RECENT, [label, ...recent().filter((one) => one !== label)].slice(0, 9));
}

/** Ask for a label, and call `chosen` with it, or `cancelled`. */
function askLabel(current, chosen, cancelled = () => {}) {
  const input = find("label-input");
  find("label-list").replaceChildren(...suggestions().map((label) => Object.assign(document.createElement("option"), { value: label })));
  find("recent").replaceChildren(
    ...recent().map((label) => {
      const line = document.createElement("li");
      const choice = button(label, "");
      choice.addEventListener("click", () => answerLabel(label));
      line.append(choice);
      return line;
    }),
  );
  input.value = current;
  labelled = { chosen, cancelled };
  find("label-dialog").showModal();
  input.select();
}

/** Close the dialog with a label; without one, it is cancelled. */
function answerLabel(label) {
  const { chosen, cancelled } = labelled;
  labelled = null;
  find("label-dialog").close();
  if (label === "") {
    cancelled();
  } else {
    remember(label);
    chosen(label);
  }
  find("stage").focus({ preventScroll: true });
}

function suggestions() {
  return [...new Set([...recent(), ...suggested.map((one) => one.label)])];
}

/** Add a label of the whole image. If it is listed already, accept it. */
function addLabel(label) {
  const listed = items.findIndex((item) => item.box === null && item.label === label);
  if (listed < 0) {
    add(null, label);
  } else {
    selected = listed;
    edit(listed, { label });
  }
}

function drawn(box) {
  add(box, recent()[0] ?? suggestions()[0] ?? "thing");
  const cancelled = () => {
    arrows = "choose";
    decide("reject");
    say("");
  };
  askLabel(items[selected].label, (label) => edit(selected, { label }), cancelled);
}

function time() {
  return Math.min(MAX_SECONDS, seconds + (since === null ? 0 : (performance.now() - since) / 1000));
}

function bodyOf() {
  return {
    image_id: imageId,
    lease: task.lease,
    items: items
      .filter((item) => item.decision !== null)
      .map(({ decision, kind, label, box, shown }) => ({ decision, kind, label, box, shown })),
    exhaustive: find("exhaustive").checked,
    adjudicates: task.adjudicates,
    scope_kinds: task.scope.kinds,
    scope_labels: task.scope.labels,
  };
}

/** Return whether an image that has just come up is saved or skipped: who presses twice means the one before. */
function isHasty() {
  if (!isWarned && (find("exhaustive").checked || items.some((item) => item.decision !== null))) return false;
  const isEarly = performance.now() < calmAt;
  if (isEarly) calmAt = performance.now() + HASTE_MS;
  if (isEarly && !isWarned) say("This image has just come up. Press again if you mean it.");
  return isEarly;
}

async function save() {
  if (isSaving) return;
  const undecided = items.filter((item) => item.decision === null).length;
  const open = undecided === 1 ? "One finding is undecided" : `${undecided} findings are undecided`;
  if (undecided > 0 && find("exhaustive").checked) {
    complain(`${open}. Decide about them, or clear “everything is marked”.`);
    return;
  }
  if (undecided > 0 && !isWarned) {
    isWarned = true;
    calmAt = performance.now() + HASTE_MS;
    complain(`${open}, and will be left out. Save again to save the rest.`);
    return;
  }
  if (isHasty()) return;
  const body = bodyOf();
  const text = JSON.stringify(body);
  if (sent !== "" && sent !== text) key = uuid(); // another answer is another save
  sent = text;
  draft.write(asDraft());
  await send("save", { ...body, key, seconds: time() }, {});
}

/** Return whether something was begun that isn't part of the answer yet: a label, a box or a number. */
function isUnfinished() {
  return document.querySelector("dialog[open]") !== null || boxes.isDrawing || boxes.isFollowing || document.activeElement?.dataset.side !== undefined;
}

const entered = () => JSON.stringify({ ...bodyOf(), lease: null });

/** Ask before the page is left. */
function holdPage(event) {
  if (!page.inert) event.preventDefault();
}

async function send(act, body, more) {
  if (isSaving) return;
  isSaving = true;
  const before = entered();
  window.addEventListener("beforeunload", holdPage);
  page.classList.add("saving");
  say("Saving …");
  try {
    const result = await post(`${address}/${act}`, body, complain);
    const saved = { queue: task.queue, person, image_id: imageId, name, adjudicates: task.adjudicates, draft: asDraft(), ...result, ...more };
    last.write(saved);
    task.lease = null;
    if (isUndoAsked) {
      await undo(saved);
      return;
    }
    if (entered() !== before || isUnfinished()) {
      say("");
      complain(`${act === "skip" ? "Skipped" : "Saved"} without your last changes, which came later. Save ${act === "skip" ? "" : "again "}to save them, too.`);
      return;
    }
    draft.remove();
    leave();
  } catch (error) {
    say("");
    complain(`Not saved: ${error.message}`);
  } finally {
    isSaving = false;
    isUndoAsked = false;
    page.classList.remove("saving");
    window.removeEventListener("beforeunload", holdPage);
  }
}

async function undo(saved) {
  page.inert = true;
  try {
    await undoLast(address, saved, complain);
  } catch (error) {
    page.inert = false;
    complain(error.message);
  }
}

/** Show the next image, or go back to the image that was corrected. */
function leave() {
  page.inert = true; // what is pressed before the next page shows would change the saved image
  const isAsked = new URL(location.href).searchParams.has("image");
  if (isAsked && task.queue === "corrections") location.assign(page.dataset.back);
  else if (isAsked) location.assign(task.adjudicates ? `${address}?adjudicate=true` : address);
  else location.reload();
}

const acts = {
  next: () => choose(selected + 1),
  previous: () => choose(selected - 1),
  accept: () => decide("accept"),
  reject: () => decide("reject"),
  unsure: () => decide("unsure"),
  acceptAll: () => {
    for (const item of items) if (item.decision === null) item.decision = "accept";
    changed();
  },
  relabel: () => {
    if (items[selected]) askLabel(items[selected].label, (label) => edit(selected, { label }));
  },
  new: () => {
    if (boxes.isDrawing) {
      boxes.draw(false);
      arrows = "move";
      say(ARROWS.move);
      drawn([0.3, 0.3, 0.4, 0.4]);
    } else {
      boxes.draw(true);
      say(`Drag over the picture, or click two corners. ${named(keys.key("new"))} again puts a box in the middle; Escape stops.`);
    }
  },
  newLabel: () => askLabel("", addLabel),
  arrows: () => {
    arrows = { choose: "move", move: "resize", resize: "choose" }[arrows];
    say(ARROWS[arrows]);
  },
  exhaustive: () => {
    find("exhaustive").checked = !find("exhaustive").checked;
    changed();
    say(find("exhaustive").checked ? "Everything is marked." : "Something may be missing.");
  },
  save,
  skip: () => {
    if (isSaving || isHasty()) return;
    send("skip", { image_id: imageId, lease: task.lease, key: uuid(), seconds: time() }, { skipped: true });
  },
  undo: () => {
    if (isSaving) {
      isUndoAsked = true;
      say("Undoing it as soon as it is saved …");
    } else {
      const saved = last.read(task.queue, person);
      if (saved === null) say("There is nothing to undo.");
      else undo(saved);
    }
  },
  hide: () => {
    const isHidden = find("canvas").classList.toggle("hidden-boxes");
    page.querySelector("[data-act=hide]").setAttribute("aria-pressed", String(isHidden));
  },
  zoomIn: () => setZoom(zoom * 1.5),
  zoomOut: () => setZoom(zoom / 1.5),
  help: () => {
    showKeys();
    find("help-dialog").showModal();
  },
  closeDialog: () => {
    if (labelled !== null) answerLabel("");
    else document.querySelector("dialog[open]")?.close();
  },
  resetKeys: () => {
    keys.reset();
    showKeys();
  },
};

function setZoom(to) {
  zoom = Math.min(8, Math.max(1, to));
  // At first all of the picture is seen: as wide as the stage, or as high.
  const picture = find("picture");
  const aspect = task.image.width_px ? task.image.width_px / task.image.height_px : picture.naturalWidth / picture.naturalHeight || 1;
  find("canvas").style.width = `min(${zoom * 100}%, calc((var(--height) - 1rem) * ${aspect * zoom}))`;
  centre();
}

/** Scroll the picture so that the selected box is in the middle. */
function centre() {
  const box = items[selected]?.box;
  if (!box) return;
  const stage = find("stage");
  stage.scrollTo((box[0] + box[2] / 2) * stage.scrollWidth - stage.clientWidth / 2, (box[1] + box[3] / 2) * stage.scrollHeight - stage.clientHeight / 2);
}

/** Scroll the picture to the selected box, unless all of it is seen. */
function reveal() {
  const rect = find("boxes").querySelector(".selected")?.getBoundingClientRect();
  const seen = find("stage").getBoundingClientRect();
  if (rect && (rect.left < seen.left || rect.top < seen.top || rect.right > seen.right || rect.bottom > seen.bottom)) centre();
}

function showKeys() {
  for (const place of page.querySelectorAll("[data-key]")) {
    place.textContent = named(keys.key(place.dataset.key));
    place.hidden = !keys.areOn;
  }
  find("keys-on").checked = keys.areOn;
  fillTable(find("key-table"), keys, showKeys);
}

function onKey(event) {
  if (page.inert || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && boxes.isDrawing) {
    boxes.draw(false);
    boxes.show();
    say("");
    return;
  }
  if (!keys.areOn || document.querySelector("dialog[open]") !== null) return;
  if (isText(event.target) && event.target.type !== "checkbox") return;
  const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  const item = items[selected];
  if (arrows !== "choose" && event.key in steps && item?.box) {
    event.preventDefault();
    edit(selected, { box: nudged(item.box, ...steps[event.key], arrows === "resize") });
    return;
  }
  const action = keys.action(keyOf(event));
  if (action === undefined) {
    const label = /^[1-9]$/.test(event.key) ? recent()[Number(event.key) - 1] : undefined;
    if (label !== undefined && item && !event.repeat) edit(selected, { label });
    return;
  }
  // Enter on a button presses the button, unless the button is a finding of the list.
  if (event.key === "Enter" && event.target.closest?.("button, a, summary") && !event.target.closest(".finding")) return;
  event.preventDefault();
  // A key that is held decides and saves once only.
  if (!event.repeat || REPEATED.has(action)) acts[action]();
}

const boxes = new Boxes(find("canvas"), find("boxes"), find("handles"), {
  items: () => items.map((item) => ({ box: item.box, state: item.decision ?? "undecided" })),
  selected: () => selected,
  select,
  changed: (index, box) => edit(index, { box }),
  drawn: (box) => {
    say("");
    drawn(box);
  },
});

// What a click changes may move another button under the pointer, which the second click of two would press.
page.addEventListener(
  "click",
  (event) => {
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (event.detail > 1 && act !== clicked) {
      event.preventDefault();
      event.stopPropagation();
    } else {
      clicked = act;
    }
  },
  { capture: true },
);
page.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-select]");
  if (chosen) choose(Number(chosen.dataset.select));
  const act = event.target.closest("[data-act]")?.dataset.act;
  if (act) acts[act]?.();
});
page.addEventListener("change", (event) => {
  const side = event.target.dataset?.side;
  if (side === undefined) return;
  const percent = Number.parseFloat(event.target.value);
  const { box } = items[selected];
  edit(selected, { box: Number.isFinite(percent) ? withSide(box, Number(side), percent / 100) : box }, showNumbers);
});
// A number that is being entered is taken before another box can be chosen.
find("stage").addEventListener("pointerdown", () => find("stage").focus({ preventScroll: true }), { capture: true });
find("exhaustive").addEventListener("change", () => changed());
find("keys-on").addEventListener("change", (event) => {
  keys.areOn = event.target.checked;
  showKeys();
});
find("label-dialog").addEventListener("submit", (event) => {
  event.preventDefault();
  answerLabel(find("label-input").value.trim());
});
find("label-dialog").addEventListener("cancel", () => answerLabel("")); // "close" comes after the next key
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => {
  if (document.hidden && since !== null) {
    seconds = time();
    since = null;
  } else if (!document.hidden) {
    since ??= performance.now();
  }
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // came back as it was left
});

// A lease lasts as long as the page is looked at.
if (task.lease !== null) {
  setInterval(async () => {
    if (document.hidden || isSaving || task.lease === null) return;
    try {
      const response = await fetch(`${address}.json${location.search}`, { headers: { Accept: "application/json" } });
      if (!response.ok) return;
      const now = (await response.json()).task;
      if (now?.image.image_id !== imageId) say("Others may answer this image now, too. Your answer will be kept.");
      else task.lease = now.lease;
    } catch {
      // The next one may get through.
    }
  }, LEASE_CHECK_MS);
}

find("picture").addEventListener("load", () => setZoom(zoom));
setZoom(1);
showKeys();
const kept = draft.read();
if (kept !== null) {
  resume(kept);
  key = kept.key ?? key;
  sent = kept.sent ?? "";
  say("Your draft was restored.");
} else if (task.mine !== null) {
  resume(task.mine.answer);
}
const saved = last.read(task.queue, person);
if (saved !== null && saved.image_id !== imageId) say(sentence(saved));
show();
page.classList.remove("starting");
page.inert = false;
calmAt = performance.now() + HASTE_MS;
find("stage").focus({ preventScroll: true });
