// What one message looks like: text, files, tool calls with their results, reasoning.

import { copy, count, h, icon, iconButton, secondsIn, sizeOf, timeOf } from "./dom.js";
import { Markdown } from "./markdown.js";

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const urls = new Set();

/** Let go of the files of a conversation that is not shown any more. */
export function forgetFiles() {
  for (const url of urls) URL.revokeObjectURL(url);
  urls.clear();
}

function urlOf(bytes, type) {
  const url = URL.createObjectURL(new Blob([bytes], { type }));
  urls.add(url);
  return url;
}

/** What `make` makes; where that is not possible, whatever was stored, words that say so. */
export function shownOr(what, make) {
  try {
    return make();
  } catch {
    return h("p", { class: "note" }, `${what} could not be shown.`);
  }
}

const IMAGES = ["png", "jpeg", "gif", "webp"];

/** A file as it was sent: an image is shown, anything else can be saved and is never opened as a page of ours. */
export const fileBlock = (kind, file) => shownOr(`A file (${kind})`, () => fileOf(kind, file));

function fileOf(kind, { format, name, source }) {
  if (!source?.bytes) return h("p", { class: "note" }, `${kind}: ${source?.location?.uri ?? "not here"}`);
  const bytes = bytesOf(source.bytes);
  if (kind === "image" && IMAGES.includes(format)) {
    const url = urlOf(bytes, `image/${format}`);
    const image = h("img", { src: url, alt: "Image that was sent", loading: "lazy", decoding: "async" });
    return h("a", { class: "image", href: url, download: `image.${format}`, "aria-label": "Save the image" }, image);
  }
  const named = `${name ?? kind}.${format}`;
  const attributes = { class: "file", href: urlOf(bytes, "application/octet-stream"), download: named };
  return h("a", attributes, icon("file"), h("span", {}, named), h("small", {}, sizeOf(bytes.length)));
}

const FILES = ["image", "document", "video"];
const kindOf = (block) => FILES.find((kind) => block[kind]);
const wordsIn = (block) => (block.text == null || typeof block.text === "string" ? block.text : asText(block.text));

export const textOf = (content) => content.map(wordsIn).filter(Boolean).join("\n\n");
export const filesOf = (content) => content.filter(kindOf);

/** What the user said. */
export function prompt(content, { at, refused, onedit, failed }) {
  const files = content.filter(kindOf).map((block) => fileBlock(kindOf(block), block[kindOf(block)]));
  const text = textOf(content);
  return h(
    "article",
    { class: "said", "aria-label": "You" },
    files.length > 0 && h("div", { class: "sent-files" }, files),
    text && h("div", { class: "bubble", dir: "auto" }, text),
    refused && h("p", { class: "note" }, "The model refused this message."),
    h(
      "footer",
      {},
      at && timeOf(at),
      text && iconButton("copy", "Copy message", (event) => copy(text, event.currentTarget)),
      onedit && !failed && iconButton("edit", "Edit and send again", onedit),
    ),
  );
}

const STOPS = {
  cancelled: "Stopped",
  max_tokens: "Cut short: the answer reached its greatest length",
  guardrail_intervened: "A guardrail intervened",
  failed: "Did not get to its end",
};

function fold(kind, label, ...children) {
  return h("details", { class: kind }, h("summary", {}, icon("chevron"), label), h("div", { class: "folded" }, children));
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** A tool call: what was asked, what came of it, how long it took. */
class Tool {
  constructor(id, name, input) {
    this.id = id;
    this.began = performance.now();
    this._status = h("span", { class: "state" }, "running");
    this._body = h("div", { class: "folded" });
    const label = h("span", {}, String(name));
    this.element = h(
      "details",
      { class: "tool", "data-state": "running" },
      h("summary", {}, icon("chevron"), icon("tool"), label, this._status),
      this._body,
    );
    this.ask(input);
  }

  ask(input) {
    if (input === undefined || this._input) return;
    this._input = h("pre", { tabindex: "0", "aria-label": "Asked" }, asText(input));
    this._body.prepend(h("h4", {}, "Asked"), this._input);
  }

  get isRunning() {
    return this.element.dataset.state === "running";
  }

  end(status, ms, content) {
    const words = { success: "done", error: "failed", waiting: "no result yet" }[status] ?? status;
    this.element.dataset.state = status;
    if (ms != null || !this._status.dataset.timed) this._status.textContent = ms == null ? words : `${words}, ${secondsIn(ms)}`;
    if (ms != null) this._status.dataset.timed = "";
    if (!content || this._result) return;
    this._result = h("h4", {}, "Result");
    this._body.append(this._result);
    for (const block of content) {
      const kind = kindOf(block);
      if (kind) this._body.append(fileBlock(kind, block[kind]));
      else this._body.append(h("pre", { tabindex: "0", "aria-label": "Result", dir: "auto" }, asText(block.text ?? block.json ?? block)));
    }
  }
}

/** What binds the turns of a conversation: the result of a tool call may be in a later one. */
export class Tools {
  constructor() {
    this._open = new Set(); // calls without a result, in their order
    this._lost = new Map(); // results whose call is not loaded
  }

  began(tool) {
    this._open.add(tool);
    const result = this._lost.get(tool.id);
    if (!result) return;
    this._lost.delete(tool.id);
    this.ended(tool, result);
  }

  forget(tool) {
    this._open.delete(tool);
  }

  ended(tool, { status, content, at }) {
    this._open.delete(tool);
    tool.end(status, tool.at && at ? Math.max(0, Date.parse(at) - Date.parse(tool.at)) : null, content);
  }

  /** A result without a call in its own turn: of the latest call that has none. Returns that call. */
  result(id, result) {
    const tool = [...this._open].findLast((open) => open.id === id);
    if (tool) this.ended(tool, result);
    else this._lost.set(id, result);
    return tool;
  }

}

/** What the agent did and said in one turn. */
export class Answer {
  constructor(tools, agentId) {
    this._tools = tools;
    this._body = h("div", { class: "body" });
    this._head = h("p", { class: "restored", hidden: true });
    this._foot = h("footer", {});
    this.element = h("article", { class: "answer", "aria-label": agentId ?? "Agent" }, this._head, this._body, this._foot);
    this._parts = []; // what is not stored yet
    this._calls = []; // its tool calls, in their order
    this._stored = []; // those of the messages shown, with whether they have a result: ids may come again
    this._results = new Map(); // which result ended a call of another turn
    this._next = null; // while messages are shown again: what stands behind them
    this.hasTools = false;
  }

  restored(number) {
    this._head.hidden = !number;
    if (number) this._head.textContent = `Restored ${count(number, "message")}`;
  }

  /** Show messages that are stored, in the place of everything shown so far. What stays the same stays where it is. */
  show(messages) {
    const pool = new Map();
    for (const element of this._body.children) if (element.source) pool.set(element.source, element);
    this._parts = [];
    this._stored = [];
    this._next = this._body.firstChild;
    for (const stored of messages) this.add(stored, pool);
    while (this._next) this._skip().remove();
    this._keepCalls((tool) => this._stored.some((call) => call.tool === tool));
  }

  /** Put an element behind what is shown of the stored messages. One that stands there already is not moved. */
  _put(element) {
    while (this._next && this._next !== element && !this._next.source) this._skip().remove();
    if (this._next === element) this._skip();
    else this._body.insertBefore(element, this._next ?? null);
  }

  _skip() {
    const element = this._next;
    this._next = element.nextSibling;
    return element;
  }

  /** Show one more message that is stored. */
  add(stored, pool) {
    this._clear();
    const { message, created_at: at, message_id: id } = stored;
    const guarded = (act) => {
      const failed = shownOr(id == null ? "A part of this message" : `A part of message ${id}`, act);
      if (failed) this._put(failed);
    };
    if (stored.unshown) this.note(`Message ${id} ${stored.unshown}.`);
    for (const block of message.content) {
      guarded(() => {
        if (block.toolResult) this._result(block.toolResult, `${id} ${message.content.indexOf(block)}`, at);
        else if (message.role === "assistant") this._block(block, at, pool);
      });
    }
    guarded(() => stored.nodes && this._nodes(stored.nodes));
    guarded(() => stored.left_out?.length && this.note(`Not shown to the model: ${stored.left_out.map((part) => part.what).join(", ")}`));
  }

  _call({ toolUseId: id, name, input }, at) {
    const number = this._stored.filter(({ tool }) => tool.id === id).length;
    let tool = this._calls.filter((other) => other.id === id)[number];
    if (!tool) this._calls.push((tool = new Tool(id, name)));
    tool.ask(input);
    tool.at ??= at;
    this._stored.push({ tool, isOpen: true });
    this._put(tool.element);
    this.hasTools = true;
    if (tool.isRunning) this._tools.began(tool);
  }

  _result({ toolUseId: id, status = "success", content }, place, at) {
    const call = this._stored.find(({ tool, isOpen }) => isOpen && tool.id === id);
    const result = { status, content, at };
    if (call) {
      call.isOpen = false;
      this._tools.ended(call.tool, result);
    } else if (!this._results.get(place)) this._results.set(place, this._tools.result(id, result));
  }

  _block(block, at, pool) {
    const kind = kindOf(block);
    const words = wordsIn(block);
    if (words) this._show("t" + words, pool, () => new Markdown(words).element);
    else if (block.reasoningContent) {
      const text = block.reasoningContent.reasoningText?.text;
      if (text) this._show("r" + text, pool, () => reasoning(new Markdown(text)));
    } else if (block.toolUse) {
      this._call(block.toolUse, at);
    } else if (block.citationsContent) {
      const text = block.citationsContent.content?.map((part) => part.text).join("") ?? "";
      this._put(new Markdown(text).element);
    } else if (kind) this._put(fileBlock(kind, block[kind]));
  }

  _show(source, pool, make) {
    const element = pool?.get(source) ?? make();
    pool?.delete(source);
    element.source = source;
    this._put(element);
  }

  _nodes(nodes) {
    const shown = nodes.map((node) => {
      const text = node.message ? textOf(node.message.content) : "";
      const label = h("span", {}, node.node_id, h("span", { class: "state" }, `${node.status}, ${secondsIn(node.duration_ms)}`));
      return fold("tool", label, text && new Markdown(text).element);
    });
    this._body.prepend(...shown);
  }

  /** A piece of what the model says (`text`) or shows of its thoughts (`reasoning`). */
  say(kind, { text, node_id }) {
    let part = this._parts.at(-1);
    if (part?.kind !== kind || part.node !== node_id) {
      const markdown = new Markdown();
      const element = kind === "text" ? markdown.element : reasoning(markdown);
      if (node_id && part?.node !== node_id) this._body.append(h("p", { class: "node" }, node_id));
      part = { kind, node: node_id, markdown, element };
      this._parts.push(part);
      this._body.append(element);
    }
    part.markdown.append(text);
  }

  tool(event) {
    this.hasTools = true;
    const { tool_use_id: id, name, status } = event;
    let tool = this._calls.findLast((other) => other.id === id && (other.isRunning || status));
    if (!tool) {
      this._calls.push((tool = new Tool(id, name)));
      this._tools.began(tool);
      this._body.append(tool.element);
      this._parts.push({ kind: "tool", element: tool.element, tool });
    }
    if (status) tool.end(status, performance.now() - tool.began);
  }

  /** What is shown so far is stored now. */
  settle() {
    for (const { kind, markdown, element } of this._parts) {
      markdown?.end();
      if (markdown) element.source = (kind === "text" ? "t" : "r") + markdown.text;
    }
    this._parts = [];
  }

  /** Its turn is over: a call without a result waits for somebody. */
  rest() {
    for (const tool of this._calls) if (tool.isRunning) tool.end("waiting");
  }

  /** What is shown and not stored will be said again, or is known better. */
  reset() {
    const told = this._parts.map((part) => part.tool);
    this._keepCalls((tool) => !told.includes(tool));
    this._clear();
  }

  _clear() {
    for (const part of this._parts) part.element.remove();
    this._parts = [];
  }

  _keepCalls(isKept) {
    for (const tool of this._calls) if (!isKept(tool)) this._tools.forget(tool);
    this._calls = this._calls.filter(isKept);
  }

  get text() {
    return [...this._body.children].filter((element) => element.source?.startsWith("t")).map((element) => element.source.slice(1)).join("\n\n");
  }

  note(words, ...more) {
    this._put(h("p", { class: "note" }, words, ...more));
  }

  /** The line below: when, how many tokens, why it stopped. `ontokens` asks for them when they are not known. */
  finish({ at, usage, stopReason, ontokens }) {
    this.settle();
    const tokens = usage && h("span", { title: `${count(usage.input_tokens, "token")} in, ${count(usage.output_tokens, "token")} out` }, count(usage.total_tokens, "token"));
    this._foot.replaceChildren(
      ...[
        STOPS[stopReason] && h("span", { class: "why" }, STOPS[stopReason]),
        at && timeOf(at),
        tokens,
        !tokens && ontokens && h("button", { type: "button", class: "link", onclick: ontokens }, "Tokens"),
        this.text && iconButton("copy", "Copy answer", (event) => copy(this.text, event.currentTarget)),
      ].filter(Boolean),
    );
  }
}

function reasoning(markdown) {
  return fold("reasoning", "Reasoning", markdown.element);
}
