// Boxes on a picture: drawn, moved and resized with a pointer. Boxes are [left, top, width, height]
// as ratios of the picture.

const SMALLEST = 0.002;
const CLICK_PX = 4; // a pointer that moves less has clicked
const SVG = "http://www.w3.org/2000/svg";

const limit = (value) => Math.min(1, Math.max(0, value));

/** Return the box between two corners. */
export function between([x1, y1], [x2, y2]) {
  return [Math.min(x1, x2), Math.min(y1, y2), Math.abs(x1 - x2), Math.abs(y1 - y2)];
}

/** Return a box that was moved, or grown at its right and bottom edges, within the picture. */
export function nudged([left, top, width, height], dx, dy, isResize) {
  if (isResize) {
    return [left, top, Math.max(SMALLEST, Math.min(1 - left, width + dx)), Math.max(SMALLEST, Math.min(1 - top, height + dy))];
  }
  return [Math.max(0, Math.min(1 - width, left + dx)), Math.max(0, Math.min(1 - height, top + dy)), width, height];
}

/** Return the intersection over union of two boxes. */
export function overlap([left, top, width, height], [otherLeft, otherTop, otherWidth, otherHeight]) {
  const wide = Math.min(left + width, otherLeft + otherWidth) - Math.max(left, otherLeft);
  const high = Math.min(top + height, otherTop + otherHeight) - Math.max(top, otherTop);
  const shared = Math.max(wide, 0) * Math.max(high, 0);
  return shared / (width * height + otherWidth * otherHeight - shared || 1);
}

/** Return a box with another left, top, width or height, by the place in the box, within the picture. */
export function withSide(box, side, value) {
  const [start, size] = [side % 2, side % 2 + 2];
  const changed = [...box];
  changed[start] = side === start ? Math.min(1 - SMALLEST, limit(value)) : box[start];
  changed[size] = Math.max(SMALLEST, Math.min(1 - changed[start], side === size ? value : box[size]));
  return changed;
}

/** Return a box after one of its corners was dragged to a point. */
function dragged([left, top, width, height], corner, point) {
  const fixed = [corner.includes("w") ? left + width : left, corner.includes("n") ? top + height : top];
  return between(fixed, point);
}

/**
 * Drawing, moving and resizing with a pointer.
 *
 * `on` has: items() with `box`, `isGone` and `state`; selected(); select(index); changed(index, box);
 * drawn(box).
 */
export class Boxes {
  #canvas;
  #svg;
  #handles;
  #on;
  #corner = null; // the first corner of a box that is being drawn
  isFollowing = false; // a pointer that is down
  isDrawing = false;

  constructor(canvas, svg, handles, on) {
    this.#canvas = canvas;
    this.#svg = svg;
    this.#handles = handles;
    this.#on = on;
    svg.removeAttribute("aria-hidden");
    svg.setAttribute("role", "presentation");
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
  }

  /** Begin to draw a box, or stop it. */
  draw(isDrawing) {
    this.isDrawing = isDrawing;
    this.#corner = null;
    this.#canvas.classList.toggle("drawing", isDrawing);
  }

  /** Show the boxes as the items are now. */
  show(preview = null) {
    const items = this.#on.items();
    const selected = this.#on.selected();
    const rects = [];
    items.forEach((item, index) => {
      if (item.box === null) return;
      const rect = this.#rect(item.box);
      rect.dataset.index = index;
      rect.classList.add(item.state);
      rect.classList.toggle("selected", index === selected);
      rects.push(rect);
    });
    // The selected one is drawn last, over the others.
    rects.sort((a, b) => a.classList.contains("selected") - b.classList.contains("selected"));
    if (preview !== null) {
      rects.push(this.#rect(preview));
      rects.at(-1).classList.add("selected");
    }
    this.#svg.replaceChildren(...rects);
    this.#showHandles(preview === null ? items[selected]?.box ?? null : null);
  }

  #rect([x, y, width, height]) {
    const rect = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ x, y, width, height })) rect.setAttribute(name, value);
    return rect;
  }

  #showHandles(box) {
    const made = [];
    for (const corner of box === null ? [] : ["nw", "ne", "sw", "se"]) {
      const handle = document.createElement("span");
      handle.className = `handle ${corner}`;
      handle.dataset.corner = corner;
      handle.style.left = `${(box[0] + (corner.includes("e") ? box[2] : 0)) * 100}%`;
      handle.style.top = `${(box[1] + (corner.includes("s") ? box[3] : 0)) * 100}%`;
      made.push(handle);
    }
    this.#handles.replaceChildren(...made);
  }

  #point(event) {
    const area = this.#canvas.getBoundingClientRect();
    return [limit((event.clientX - area.left) / area.width), limit((event.clientY - area.top) / area.height)];
  }

  #press(event) {
    if (event.button !== 0 || this.isFollowing) return;
    const point = this.#point(event);
    if (this.isDrawing) {
      event.preventDefault();
      this.#drawFrom(event, point);
      return;
    }
    const selected = this.#on.selected();
    const box = this.#on.items()[selected]?.box ?? null;
    const corner = event.target.dataset?.corner;
    if (corner && box !== null) {
      event.preventDefault();
      this.#follow(event, (to) => dragged(box, corner, to), (changed) => this.#on.changed(selected, changed));
      return;
    }
    const index = event.target.dataset?.index;
    if (index === undefined) return;
    event.preventDefault();
    const smallest = this.#smallestAt(point) ?? Number(index);
    if (Number(index) !== selected || box === null) {
      this.#on.select(smallest);
      return;
    }
    const move = ([x, y]) => nudged(box, x - point[0], y - point[1], false);
    this.#follow(event, move, (changed) => this.#on.changed(selected, changed), () => this.#on.select(smallest));
  }

  /** Return the index of the smallest box at a point: the others can be chosen beside it. */
  #smallestAt([x, y]) {
    const area = ([, , width, height]) => width * height;
    const isAt = ([left, top, width, height]) => left <= x && x <= left + width && top <= y && y <= top + height;
    const [smallest] = this.#on
      .items()
      .map(({ box }, index) => ({ box, index }))
      .filter(({ box }) => box !== null && isAt(box))
      .sort((one, other) => area(one.box) - area(other.box));
    return smallest?.index;
  }

  #drawFrom(event, point) {
    if (this.#corner !== null) {
      const box = between(this.#corner, point);
      this.draw(false);
      if (Math.min(box[2], box[3]) >= SMALLEST) this.#on.drawn(box);
      return;
    }
    const done = (box) => {
      this.draw(false);
      this.#on.drawn(box);
    };
    // A click sets the first corner, and the next click the second.
    this.#follow(event, (to) => between(point, to), done, () => (this.#corner = point));
  }

  /** Follow one pointer until it is up. Others, such as of a palm beside a pen, do nothing meanwhile. */
  #follow(down, boxAt, done, clicked = () => {}) {
    const { pointerId } = down;
    this.#canvas.setPointerCapture(pointerId);
    this.isFollowing = true;
    const ended = new AbortController();
    const listen = (name, handle) => {
      const own = (event) => event.pointerId === pointerId && handle(event);
      this.#canvas.addEventListener(name, own, { signal: ended.signal });
    };
    let box = null;
    const end = (event) => {
      ended.abort();
      this.isFollowing = false;
      if (event.type !== "pointerup") this.show();
      else if (box === null) clicked();
      else if (Math.min(box[2], box[3]) >= SMALLEST) done(box);
      else this.show();
    };
    listen("pointermove", (event) => {
      const px = Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY);
      if (box === null && px < CLICK_PX) return;
      box = boxAt(this.#point(event));
      this.show(box);
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) listen(name, end);
  }
}
