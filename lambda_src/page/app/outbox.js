// What was sent and is not answered yet, with its key.
//
// A request lives in this module, and in sessionStorage, so that a reload sends the same request with the same key, and
// gets the same turn. It is this tab's alone and goes with it: two tabs never send one message, and a prompt does not
// stay on the disk when it has been answered. A body that is too large for sessionStorage lies in IndexedDB, under its
// owner, the time and the request's key, which only this tab knows. What a tab keeps, drafts too, is of one owner: whoever else signs in there
// neither sees nor sends what somebody else wrote.

import { DRAFT, storage } from "./dom.js";

const PREFIX = "sent:";
const OWNER = "owner";
const LONGEST_MS = 86_400_000; // a body whose tab was closed is erased after that
const here = new Map(); // the requests of this page by their names
const underWay = new Set(); // writes that a page which ends now would lose
let owner = null;
let isOver = false; // somebody has signed out: nothing is kept any more

/** Keep and find only what this owner has written; null is nobody, for whom nothing is kept. */
export function openOutbox(of) {
  owner = of;
  isOver = false;
  if (owner === null || storage.getItem(OWNER) !== owner) forget();
  try {
    if (owner !== null) storage.setItem(OWNER, owner);
  } catch {
    // Nothing can be kept at all.
  }
}

/** Erase the bodies that tabs have left which were closed, whoever wrote them. */
export function forgetOld() {
  return large((bodies) => {
    const found = bodies.getAllKeys();
    found.onsuccess = () => {
      for (const place of found.result) if (place[1] < Date.now() - LONGEST_MS) bodies.delete(place);
    };
    return found;
  });
}

function forget() {
  here.clear();
  for (const key of Object.keys(storage)) if ([PREFIX, DRAFT, OWNER].some((ours) => key.startsWith(ours))) storage.removeItem(key);
}

/** Everything that was to be kept is. */
export async function allKept() {
  while (underWay.size) await Promise.all(underWay);
}

/** Keep a request: `{sessionId, agentId, key, body, turnId}`. There is one for each conversation. */
export function keep(request) {
  if (isOver || request.isDropped) return;
  const name = nameOf(request.sessionId, request.agentId);
  here.set(name, request);
  try {
    storage.setItem(name, JSON.stringify(request));
  } catch {
    keepLarge(name, request);
  }
}

function keepLarge(name, request) {
  if (owner === null) return;
  const place = (request.place ??= [owner, Date.now(), request.key]);
  try {
    storage.setItem(name, JSON.stringify({ ...request, body: null }));
  } catch {
    return; // no storage at all: the request lives as long as the page
  }
  if (!request.isPlaced) {
    const written = large((bodies) => bodies.put({ body: request.body }, place)).then(() => underWay.delete(written));
    underWay.add(written);
  }
  Object.defineProperty(request, "isPlaced", { value: true });
}

export function answered(request) {
  const name = nameOf(request.sessionId, request.agentId);
  const kept = here.get(name) ?? read(name);
  if (kept?.key !== request.key) return;
  here.delete(name);
  storage.removeItem(name);
  if (kept.place) large((bodies) => bodies.delete(kept.place));
}

/** Forget what was sent and what was written in a session that was deleted, whichever agent's: it is not sent any more. */
export function forgetSession(sessionId) {
  const its = `${JSON.stringify([sessionId]).slice(0, -1)},`; // so a name begins that names it
  for (const name of [...here.keys(), ...Object.keys(storage)].filter((other) => other.includes(its))) {
    const request = name.startsWith(PREFIX) && (here.get(name) ?? read(name));
    if (!request) storage.removeItem(name);
    else request.isDropped = true;
    if (request) answered(request);
  }
}

/** The request of a conversation that has no answer yet, or null. `body` is null when it is nowhere any more. */
export async function unanswered(sessionId, agentId) {
  const name = nameOf(sessionId, agentId);
  const kept = here.get(name) ?? read(name);
  if (kept) here.set(name, kept);
  if (kept?.place && !kept.body) {
    kept.body = (await large((bodies) => bodies.get(kept.place)))?.body ?? null;
    if (kept.body) Object.defineProperty(kept, "isPlaced", { value: true });
  }
  return kept;
}

/** Forget everything of this owner, also what tabs have left that were closed, and keep nothing more. Nothing large is read for it. */
export function emptyOutbox() {
  isOver = true;
  forget();
  return large((bodies) => bodies.delete(IDBKeyRange.bound([owner], [owner, []])));
}

const nameOf = (sessionId, agentId) => `${PREFIX}${JSON.stringify([sessionId, agentId])}`;

function read(name) {
  try {
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
}

/** Do something with the large bodies. Resolves to what comes of it, or to undefined where they cannot be kept. */
function large(act) {
  return new Promise((resolve) => {
    try {
      const opening = indexedDB.open("sent", 2);
      opening.onupgradeneeded = () => {
        const { result } = opening;
        if (result.objectStoreNames.contains("bodies")) result.deleteObjectStore("bodies"); // of a page whose keys named no owner
        result.createObjectStore("bodies");
      };
      opening.onerror = opening.onblocked = () => resolve();
      opening.onsuccess = () => {
        const transaction = opening.result.transaction("bodies", "readwrite");
        const asked = act(transaction.objectStore("bodies"));
        transaction.oncomplete = () => resolve(asked.result);
        transaction.onabort = transaction.onerror = () => resolve();
        transaction.addEventListener("complete", () => opening.result.close());
      };
    } catch {
      resolve();
    }
  });
}
