// One turn, until it is answered: sent once, found again however often the connection breaks.
//
// A request keeps its key until it is answered, and is sent again with it: the endpoint takes it once. When its turn is
// known, the turn is followed instead, from the last message that is known.

import { ask, pathOf, Problem, withQuery } from "./api.js";
import { eventsIn } from "./stream.js";
import { answered, keep } from "./outbox.js";

const FORMS = "text/event-stream, application/json;q=0.5";
const MOST_PAUSE = 8000;
const CONTINUED = 3;
const FIRST_LOOK_MS = 700; // where the endpoint cannot stream, a turn is looked at, ever more seldom
const MOST_LOOK_MS = 3000;
const SILENT_MS = 30_000; // a stream says something every 10 seconds; one that is silent for so long is broken
const SUSPECT_MS = 15_000; // so is one that was silent while the computer slept

const unreachable = (detail) => new Problem({ type: "unreachable", status: 0, detail });

/**
 * A turn under way.
 *
 * `request`: `{sessionId, agentId, key, body, turnId}`; without a body it is followed only.
 * `sink`: what is told: `began`, `said(kind, data)`, `tool`, `stored`, `reset`, `waits(problem)`, `replied`, `failed`,
 * `notStopped(problem)`.
 * `streams`: whether the endpoint can stream. Where it cannot, a turn is left to it, so that it has a name at once: it can
 * be stopped and found again. What is too large for that is sent as it is, and has a name when it is answered.
 */
export class Turn {
  constructor(request, sink, streams = true) {
    this.request = request;
    this.sink = sink;
    this._stop = new AbortController();
    this._lastId = null;
    this._heardAt = Infinity; // when the stream that is read said something
    this._sendAgain = !request.turnId;
    this._continued = 0;
    this._streams = streams;
    this._isLeft = !streams;
    this._lookMs = FIRST_LOOK_MS;
  }

  /** Watch no longer. What is not known to have arrived is sent all the same. */
  leave() {
    this.sink = null;
    if (this.request.turnId) this._end();
  }

  /** Stop the turn itself, as soon as it has a name. What waits for a connection is taken back. */
  async cancel() {
    this._cancelled = true;
    const { sessionId, turnId } = this.request;
    if (!turnId && !this._streams && !this._isLeft && !this._wake) throw new Problem({ type: "no-name-yet" });
    if (!turnId) return this._wake?.();
    try {
      await ask("DELETE", pathOf(sessionId, "turns", turnId));
    } catch (problem) {
      if (problem.kind !== "turn-over") throw problem;
    }
  }

  async run() {
    let pause = 400;
    for (;;) {
      try {
        if (await this._read(await this._ask())) return;
        await this._rest(300);
      } catch (caught) {
        // A stream that was aborted tells why only in its signal.
        const why = this._attempt?.signal.reason;
        const error = why instanceof Problem ? why : caught;
        if (error.name === "AbortError" || (!this.sink && this.request.turnId)) return;
        const problem = error instanceof Problem ? error : unreachable("The connection to the endpoint broke.");
        if (problem.kind === "unreachable" && this._cancelled && !this.request.turnId) return this._failed(new Problem({ type: "taken-back" }));
        if (problem.kind === "unreachable") {
          this.sink?.waits(problem);
          await this._rest(pause);
          if (this._cancelled && !this.request.turnId) return this._failed(new Problem({ type: "taken-back" }));
          pause = Math.min(pause * 1.7, MOST_PAUSE);
        } else if (!this._goesOnAfter(problem)) {
          this._failed(problem);
          return;
        }
      }
    }
  }

  async _ask() {
    const { sessionId, agentId, key, body, turnId } = this.request;
    const headers = { Accept: FORMS, ...(this._lastId != null && { "Last-Event-ID": this._lastId }) };
    this._stop.signal.throwIfAborted();
    this._attempt = new AbortController();
    const { signal } = this._attempt;
    if (!this._sendAgain) return ask("GET", withQuery(pathOf(sessionId, "turns", turnId), { agent_id: agentId }), { headers, signal });
    if (this.request.isDropped) this._end();
    signal.throwIfAborted();
    if (this._isLeft) headers.Prefer = "respond-async";
    return ask("POST", pathOf(sessionId, "messages"), { body, headers: { ...headers, "Idempotency-Key": key }, signal });
  }

  /** Whether the answer was the last one. */
  async _read(response) {
    if (!response.headers.get("Content-Type").startsWith("text/event-stream")) return this._whole(await response.json());
    this._heard();
    try {
      for await (const { name, data, id } of eventsIn(response, () => this._heard())) {
        if (id != null) this._lastId = id;
        if (name === "problem") throw new Problem(data);
        if (name === "reply") return this._replied(data);
        if (name === "turn") await this._began(data);
        else if (name === "text" || name === "reasoning") this.sink?.said(name, data);
        else if (name === "tool") this.sink?.tool(data);
        else if (name === "message") this.sink?.stored(data);
      }
    } finally {
      clearTimeout(this._silence);
      this._heardAt = Infinity;
    }
    return false;
  }

  _heard() {
    clearTimeout(this._silence);
    this._heardAt = Date.now();
    this._silence = setTimeout(() => this._break(), SILENT_MS);
  }

  /** Ask again at once when nothing was heard for too long. */
  check() {
    if (Date.now() - this._heardAt > SUSPECT_MS) this._break();
  }

  _end() {
    this._stop.abort();
    this._attempt?.abort();
  }

  _break() {
    this._attempt.abort(unreachable("The connection went silent."));
  }

  /** Where the endpoint cannot stream: the reply, or what has become of the turn so far. */
  async _whole(found) {
    if (found.status === undefined) return this._replied(found);
    if (!this.request.turnId) await this._began(found);
    if (found.problem) throw new Problem(found.problem);
    if (found.reply) return this._replied(found.reply);
    await this._rest(this._lookMs);
    this._lookMs = Math.min(this._lookMs * 1.2, MOST_LOOK_MS);
    return false;
  }

  async _began(data) {
    this.request.turnId = data.turn_id;
    this._sendAgain = false;
    if (this.request.key) keep(this.request);
    this.sink?.reset();
    this.sink?.began(data);
    if (!this.sink) this._end();
    else if (this._cancelled) this.cancel().catch((problem) => this.sink?.notStopped(problem));
  }

  _replied(reply) {
    if (this.request.key) answered(this.request);
    this.sink?.began(reply);
    this.sink?.replied(reply);
    return true;
  }

  /** A turn that was cut off goes on when its request is sent again; so does one that is forgotten. */
  _goesOnAfter(problem) {
    const isTooLarge = problem.kind === "payload-too-large" && this._isLeft && this._sendAgain;
    if (isTooLarge) this._isLeft = false;
    if (isTooLarge) return true;
    const isGone = problem.kind === "turn-cut-off" || (problem.kind === "not-found" && !this._sendAgain);
    const isUnknown = problem.kind === "malformed-request" && this._lastId != null;
    if (isUnknown) this._lastId = null;
    if (isUnknown) return this._continued++ < CONTINUED;
    if (!isGone || !this.request.body || this._continued++ >= CONTINUED) return false;
    this._sendAgain = true;
    this._lastId = null;
    return true;
  }

  _failed(problem) {
    // Kept with its problem, it is not sent again by a reload alone; after another sign-in it goes on by itself.
    const isRefused = !["unauthenticated", "token-refused"].includes(problem.kind);
    if (this.request.key) keep({ ...this.request, problem: isRefused ? { ...problem, detail: problem.message } : undefined });
    this.sink?.failed(problem);
  }

  /** Wait, but not longer than until there is a connection again. */
  _rest(ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this._wake = null;
        window.removeEventListener("online", done);
        this._stop.signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this._wake = done;
      window.addEventListener("online", done);
      this._stop.signal.addEventListener("abort", done);
    });
  }
}
