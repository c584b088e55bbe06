// The conversation on the screen: its newest page first, older ones upwards, the turn under way at its end.

import { askJson, pathOf, withQuery } from "./api.js";
import { $, h, isEnter, keepTyped } from "./dom.js";
import { Answer, filesOf, forgetFiles, prompt, shownOr, textOf, Tools } from "./message.js";
import { told } from "./problems.js";

const PAGE = 50;
const NEAR = 80;

const talk = $("talk");
const column = $("column");
const down = $("down");
let stuck = true;

// While the reader is at the end, it stays in sight, whatever grows.
new ResizeObserver(() => stuck && toEnd()).observe(column);
new ResizeObserver(() => stuck && toEnd()).observe(talk);
talk.addEventListener("scroll", () => {
  stuck = talk.scrollHeight - talk.scrollTop - talk.clientHeight < NEAR;
  down.hidden = stuck;
}, { passive: true });
down.addEventListener("click", () => {
  toEnd();
  talk.focus();
});

export function toEnd() {
  stuck = true;
  talk.scrollTop = talk.scrollHeight;
}

/** A message whose content can be gone through, whatever was stored. */
const readable = (stored) => {
  const { role, content } = stored.message ?? {};
  return { ...stored, message: { role, content: [content].flat().filter((block) => block && typeof block === "object") } };
};
const isPrompt = ({ message }) => message.role === "user" && !message.content.some((block) => block.toolResult);
const beginsTurn = (stored) => stored.turn != null || isPrompt(stored);

/** One turn as it is shown: what was asked, and the answer. */
class Shown {
  constructor(conversation, messages) {
    this.conversation = conversation;
    this.answer = new Answer(conversation.tools, conversation.agentId);
    this.element = h("section", { class: "turn" }, this.answer.element);
    this.show(messages);
  }

  /** The id of its first message. */
  get firstId() {
    return this.messages[0]?.message_id;
  }

  get isUnderWay() {
    return this.answer.element.matches("[data-running], [data-state]");
  }

  /** Whether its beginning is not loaded. */
  get isCut() {
    return this.messages.length > 0 && !beginsTurn(this.messages[0]);
  }

  show(messages) {
    this.messages = messages;
    const first = messages[0];
    if (first?.turn) {
      this.turnId = first.turn.turn_id;
      this.answer.restored(first.turn.restored_messages);
    }
    if (first && isPrompt(first)) this.ask(first.message.content, first);
    this.answer.show(messages.slice(first && isPrompt(first) ? 1 : 0));
    this.finish();
  }

  ask(content, stored) {
    const edit = stored && (() => this.edit(content, stored));
    const said = shownOr("This message", () => prompt(content, { at: stored?.created_at, refused: stored?.refused, onedit: edit }));
    if (this.said) this.said.replaceWith(said);
    else this.element.prepend(said);
    this.said = said;
  }

  finish(view) {
    if (view) this.view = view;
    const { usage, stop_reason: stopReason } = this.view?.reply ?? {};
    const ontokens = this.turnId && !this.noTokens && (() => this._findTokens());
    this.answer.finish({ at: this.messages.at(-1)?.created_at, usage, stopReason, ontokens });
  }

  async _findTokens() {
    try {
      this.finish(await this.conversation.turn(this.turnId));
    } catch {
      this.noTokens = true;
      this.finish();
      this.answer.note("The tokens of this turn are not remembered any more.");
    }
    this.answer.element.querySelector("footer button")?.focus();
  }

  /** Say it differently: the form takes the place of what was said. */
  edit(content, stored) {
    const files = filesOf(content);
    const area = h("textarea", { "aria-label": "Message", rows: "3", dir: "auto" }, textOf(content));
    const { sessionId, agentId } = this.conversation;
    const forget = keepTyped(area, `edit:${JSON.stringify([sessionId, agentId, stored.message_id])}`);
    const close = () => {
      forget();
      form.replaceWith(this.said);
      this.said.querySelector('[aria-label="Edit and send again"]')?.focus();
    };
    const problem = h("p", { class: "problem", role: "alert" });
    const send = async () => {
      const text = area.value.trim();
      if (!text || form.dataset.busy) return;
      form.dataset.busy = "";
      problem.textContent = "";
      try {
        await this.conversation.onbranch(stored, [...files, { text }], form);
        forget();
      } catch (error) {
        problem.textContent = `${told(error).title}. ${told(error).detail}`;
        delete form.dataset.busy;
      }
    };
    const form = h(
      "form",
      { class: "editing", "aria-label": "Edit the message", onsubmit: (event) => (event.preventDefault(), send()) },
      area,
      h("p", { class: "note" }, "The conversation begins anew from here. This one stays as it is.", files.length > 0 && ` ${files.length} file(s) come along.`),
      problem,
      h("div", { class: "buttons" }, h("button", { type: "button", class: "plain", onclick: close }, "Cancel"), h("button", { class: "primary" }, "Send again")),
    );
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      if (isEnter(event) && event.target === area) {
        event.preventDefault();
        send();
      }
    });
    this.said.replaceWith(form);
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }
}

/** A session's conversation with one agent. `onbranch(stored, content)` edits and sends again. */
export class Conversation {
  constructor(sessionId, agentId, onbranch) {
    this.sessionId = sessionId;
    this.agentId = agentId;
    this.onbranch = onbranch;
    this.tools = new Tools();
    this.turns = [];
    this.nextId = 0;
    this._firstId = 0;
    this.turnsBegun = 0; // by this page
    this.isLoaded = false; // whether what was said before is here
    this._left = new AbortController();
  }

  /** Clear the screen for it. */
  begin() {
    forgetFiles();
    this._top = h("div", { class: "top" });
    column.replaceChildren(this._top);
    down.hidden = true;
    stuck = true;
    this._watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this._older(), { root: talk, rootMargin: "1200px 0px" });
  }

  leave() {
    this._left.abort();
    this._watch?.disconnect();
  }

  get isLeft() {
    return this._left.signal.aborted;
  }

  /** Load the newest page. `messageCount` is how many there are, or somewhat more. */
  async open(messageCount) {
    this._firstId = Math.max(0, messageCount - PAGE);
    this.nextId = this._firstId;
    await this.catchUp();
    // A turn may be longer than a page. The last one is loaded whole: it may be under way, and is followed from its beginning.
    while (this.last?.isCut && this._firstId > 0 && !this._loading) await this._older();
    toEnd();
    this._watch.observe(this._top);
  }

  /** Load what has been said since. Returns whether there was anything. */
  async catchUp() {
    const began = this.nextId;
    const { turnsBegun } = this;
    for (let cursor = began; cursor != null; ) {
      const page = await this._page(cursor, 200);
      if (this.turnsBegun !== turnsBegun) break; // a turn of ours has begun, and tells itself
      this._append(page.messages);
      cursor = page.next_cursor;
    }
    return this.nextId > began;
  }

  /** Show what was said elsewhere before a turn of ours: the messages from `fromId` up to `endId`. */
  async fill(fromId, endId, before) {
    const messages = [];
    for (let cursor = fromId; cursor != null && cursor < endId; ) {
      const page = await this._page(cursor, Math.min(200, endId - cursor));
      messages.push(...page.messages.filter((stored) => stored.message_id < endId));
      cursor = page.next_cursor && Number(page.next_cursor);
    }
    this._putAbove(messages, before);
  }

  turn(turnId) {
    return askJson("GET", withQuery(pathOf(this.sessionId, "turns", turnId), { agent_id: this.agentId }), { signal: this._left.signal });
  }

  /** The last turn that the endpoint knows. What it has not taken yet stands below. */
  get last() {
    return this.turns.findLast((shown) => shown.turnId || shown.messages.length);
  }

  /** A turn that begins now: what is asked is shown at once. */
  ask(content) {
    const shown = new Shown(this, []);
    this.turns.push(shown);
    column.append(shown.element);
    if (content) shown.ask(content);
    this.empty(null);
    toEnd();
    return shown;
  }

  /** Show a turn again, as it is stored. Its first message is looked for from `fromId` on. */
  async reload(shown, turnId, fromId = this.nextId) {
    const above = []; // said elsewhere
    const messages = [];
    for (let cursor = fromId; cursor != null; ) {
      const page = await this._page(cursor, 100);
      for (const stored of page.messages) {
        const isFirst = stored.turn?.turn_id === turnId;
        if (messages.length && beginsTurn(stored)) return this._reloaded(shown, messages, above);
        (isFirst || messages.length ? messages : above).push(stored);
      }
      cursor = page.next_cursor;
    }
    this._reloaded(shown, messages, above);
  }

  _reloaded(shown, messages, above) {
    if (!messages.length) return;
    this._putAbove(above, shown);
    shown.show(messages);
    shown.answer.rest();
    this.nextId = Math.max(this.nextId, messages.at(-1).message_id + 1);
  }

  /** Take a turn away that was never stored. */
  remove(shown) {
    shown.element.remove();
    this.turns = this.turns.filter((other) => other !== shown);
  }

  /** Where this turn is shown already, as it was found stored, show `shown` instead. Returns what stood there. */
  replace(turnId, shown) {
    const stored = this.turns.find((other) => other !== shown && other.turnId === turnId);
    if (!stored) return null;
    this.turns = this.turns.filter((other) => other !== shown).map((other) => (other === stored ? shown : other));
    stored.element.replaceWith(shown.element);
    return stored;
  }

  /** What is shown when nothing was said yet. */
  empty(element) {
    this._empty?.remove();
    this._empty = element;
    if (element) column.append(element);
  }

  _page(cursor, limit) {
    const query = { agent_id: this.agentId, cursor, limit };
    const path = withQuery(pathOf(this.sessionId, "messages"), query);
    const asked = askJson("GET", path, { signal: this._left.signal });
    return asked.then((page) => ({ ...page, messages: page.messages.map(readable) })).catch((problem) => {
      if (problem.kind !== "payload-too-large") throw problem;
      // A message that is too large for any reply: what comes behind it is shown all the same.
      const next = problem.next_cursor ?? null;
      const large = { message_id: next == null ? cursor : Number(next) - 1, message: { role: "assistant", content: [] }, unshown: "is too large to be shown" };
      return { messages: [large], next_cursor: next };
    });
  }

  _append(messages) {
    const groups = grouped(messages);
    const last = this.last;
    if (last?.messages.length && groups.length && !beginsTurn(groups[0][0])) last.show([...last.messages, ...groups.shift()]);
    let below = null; // a turn of ours that is shown already, or what stands above it
    for (const group of groups.reverse()) {
      const ours = this._withTurnOf(group);
      ours?.show(group);
      const shown = ours ?? this._put(new Shown(this, group), last, below);
      if (ours || below) below = shown;
    }
    for (const shown of this.turns) if (!shown.isUnderWay) shown.answer.rest();
    if (messages.length) this.nextId = messages.at(-1).message_id + 1;
  }

  /** Where the turn that begins so is shown already. */
  _withTurnOf([first]) {
    return first.turn && this.turns.find((shown) => shown.turnId === first.turn.turn_id);
  }

  _putAbove(messages, below) {
    for (const group of grouped(messages)) if (!this._withTurnOf(group)) this._put(new Shown(this, group), null, below);
  }

  /** Show a turn above one, or behind one. */
  _put(shown, last, below) {
    this.turns.splice(below ? this.turns.indexOf(below) : this.turns.indexOf(last) + 1, 0, shown);
    if (below) below.element.before(shown.element);
    else (last?.element ?? this._top).after(shown.element);
    return shown;
  }

  /** Load the page above, without moving what is read. */
  async _older() {
    if (this._loading || this._firstId === 0) return;
    this._loading = true;
    this._top.textContent = "Loading earlier messages";
    try {
      const from = Math.max(0, this._firstId - PAGE);
      const messages = [];
      for (let cursor = from; cursor != null && cursor < this._firstId; ) {
        const page = await this._page(cursor, this._firstId - cursor);
        messages.push(...page.messages.filter((stored) => stored.message_id < this._firstId));
        cursor = page.next_cursor && Number(page.next_cursor);
      }
      const groups = grouped(messages);
      const cut = this.turns[0];
      const rest = cut?.isCut ? groups.pop() : null;
      const older = [];
      for (const group of groups) {
        await pause(); // so that scrolling goes on meanwhile
        older.push(new Shown(this, group));
      }
      if (this.isLeft) return;
      for (const shown of older) shown.answer.rest();
      this._firstId = from;
      this._prepend(older, rest);
      this._top.textContent = "";
    } catch (error) {
      if (error.name === "AbortError") return;
      const again = () => ((this._loading = false), this._older());
      this._top.replaceChildren("Earlier messages could not be loaded. ", h("button", { type: "button", class: "link", onclick: again }, "Try again"));
      return;
    }
    this._loading = false;
    // Nothing may have come into sight or left it: look again.
    this._watch.unobserve(this._top);
    this._watch.observe(this._top);
  }

  _prepend(older, rest) {
    const edge = talk.getBoundingClientRect().top;
    const seen = this.turns.find((shown) => shown.element.getBoundingClientRect().bottom > edge)?.element;
    const before = seen?.getBoundingClientRect().top;
    if (rest) this.turns[0].show([...rest, ...this.turns[0].messages]);
    this.turns.unshift(...older);
    this._top.after(...older.map((shown) => shown.element));
    // Browsers keep the place themselves, except at the very top; what they did is not done twice.
    if (seen) talk.scrollTop += seen.getBoundingClientRect().top - before;
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve));

function grouped(messages) {
  const groups = [];
  for (const stored of messages) {
    if (beginsTurn(stored) || !groups.length) groups.push([]);
    groups.at(-1).push(stored);
  }
  return groups;
}
