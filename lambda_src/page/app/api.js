// Requests to the endpoint: same origin, the caller's token, problem documents as errors.

const KIND = "urn:agent-session-kit:problem:";

/** What the endpoint answered instead of a reply, or `kind: "unreachable"` when it could not be asked. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title || "");
    Object.assign(this, document, { kind: String(document.type ?? "").replace(KIND, "") });
  }
}

let auth = null;
let tellRefused = null;

/** From now on requests carry this sign-in's token. `onrefused(problem)` is told when somebody has to sign in. */
export function useSignIn(signIn, onrefused) {
  auth = signIn;
  tellRefused = onrefused;
}

/** Ask for a path below `/`. Throws a Problem, or an AbortError when `signal` says so. */
export async function ask(method, path, options = {}) {
  const token = await tokenOf();
  const response = await send(method, path, options, token);
  if (response.ok) auth?.accepted(token);
  if (response.ok) return response;
  if (response.status !== 401 || !token) throw await problemIn(response);
  // A token can end before its time: another one is tried once. When a fresh one is refused, no other helps.
  const other = await tokenOf(token);
  const again = other ? await send(method, path, options, other) : response;
  if (again.ok) auth.accepted(other);
  if (again.ok) return again;
  const problem = await problemIn(again);
  throw again.status === 401 ? refused("token-refused", problem.message) : problem;
}

function refused(kind, detail) {
  const problem = new Problem({ type: `${KIND}${kind}`, title: "Signed out", status: 401, detail });
  tellRefused?.(problem);
  return problem;
}

async function send(method, path, { body, headers, signal }, token) {
  try {
    return await fetch(path, {
      method,
      signal,
      cache: "no-store",
      headers: {
        ...(token && { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ type: "unreachable", title: "No connection", status: 0, detail: "The endpoint cannot be reached." });
  }
}

async function tokenOf(another) {
  try {
    return auth ? await auth.token(another) : null;
  } catch (error) {
    if (error.kind === "unreachable") throw new Problem({ type: "unreachable", title: "No connection", status: 0, detail: error.message });
    throw refused("unauthenticated", error.message);
  }
}

async function problemIn(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    return new Problem({ ...(await response.json()), status: response.status, retryAfter });
  } catch {
    return new Problem({ type: "unknown", title: response.statusText, status: response.status, retryAfter });
  }
}

/** The same, for an answer in JSON; null for one without a body. */
export async function askJson(method, path, options) {
  const response = await ask(method, path, { ...options, headers: { Accept: "application/json", ...options?.headers } });
  return response.status === 204 ? null : response.json();
}

export const pathOf = (sessionId, ...rest) => ["/sessions", ...[sessionId, ...rest].map(encodeURIComponent)].join("/");

/** A path with those parameters that have a value. */
export function withQuery(path, parameters) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value != null && value !== ""));
  return `${path}${query.size ? `?${query}` : ""}`;
}
