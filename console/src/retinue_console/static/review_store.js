// Values that the browser keeps, as JSON. Its storage can be full, or blocked.

/** Return a value of `localStorage` or `sessionStorage`; null if there is none. */
export function stored(storage, name) {
  try {
    return JSON.parse(window[storage].getItem(name));
  } catch {
    return null;
  }
}

/** Keep a value, or remove it if it is null; return whether the browser does. */
export function store(storage, name, value) {
  try {
    if (value === null) window[storage].removeItem(name);
    else window[storage].setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
