// Elements, words for times and sizes, and what a screen reader is told.

export const $ = (id) => document.getElementById(id);

/** An element: `h("p", {class: "x", onclick: f}, "text", child)`. Attributes that are null or false are left out. */
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child != null && child !== false));
  return element;
}

/** Enter, as what sends: not with Shift, and not what an input method takes for itself (229 is Safari's word for it). */
export const isEnter = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;

/** What this tab keeps through a reload; where the browser keeps nothing, as long as the page. */
export const storage = (() => {
  try {
    sessionStorage.getItem("");
    return sessionStorage;
  } catch {
    return Object.create({
      isGone: true,
      getItem(name) { return this[name] ?? null; },
      setItem(name, value) { this[name] = value; },
      removeItem(name) { delete this[name]; },
    });
  }
})();

export const DRAFT = "draft:";

/** What somebody types into a field is there again when the page was loaded anew. Returns how to forget it. */
export function keepTyped(field, name) {
  const typed = storage.getItem(DRAFT + name);
  if (typed !== null) field.value = typed;
  field.addEventListener("input", () => {
    try {
      storage.setItem(DRAFT + name, field.value);
    } catch {
      // Too long to be kept: a reload loses it, and nothing else does.
    }
  });
  return () => storage.removeItem(DRAFT + name);
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const iconButton = (name, label, onclick, attributes) =>
  h("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...attributes }, icon(name));

/** Tell a screen reader. The same words are told again. */
export function say(words) {
  const place = $("say");
  place.textContent = "";
  setTimeout(() => (place.textContent = words), 50);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

const midnight = (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate());
const daysAgo = (at) => Math.round((midnight(new Date()) - midnight(at)) / 86400e3);
const dateOf = (at) => (at.getFullYear() === new Date().getFullYear() ? DAY : YEAR).format(at);

/** When, as a `time` element: the clock for today, else the day with it. */
export function timeOf(iso) {
  const at = new Date(iso);
  if (Number.isNaN(+at)) return "";
  const words = daysAgo(at) === 0 ? CLOCK.format(at) : `${dateOf(at)}, ${CLOCK.format(at)}`;
  return h("time", { datetime: at.toISOString(), title: WHOLE.format(at) }, words);
}

/** The heading under which a conversation that was used last then is listed. */
export function periodOf(iso) {
  const days = iso ? daysAgo(new Date(iso)) : 0;
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "This week";
  if (days < 31) return "This month";
  return "Earlier";
}

export const secondsIn = (ms) => (ms < 950 ? `${Math.max(0, Math.round(ms))} ms` : `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`);

export function sizeOf(bytes) {
  if (bytes < 1000) return count(bytes, "byte");
  return bytes < 999500 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1).replace(/\.0$/, "")} MB`;
}

export const count = (number, one, many = `${one}s`) => `${Number(number ?? 0).toLocaleString()} ${number === 1 ? one : many}`;

/** A name that cannot be guessed, also where the page does not come over TLS. */
export function uniqueName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Copy text, and show for a moment on the button that it was. */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "off" }, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.firstChild.firstChild.setAttribute("href", "#i-check");
  say("Copied.");
  setTimeout(() => button.firstChild.firstChild.setAttribute("href", "#i-copy"), 1500);
}
