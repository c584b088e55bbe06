// Markdown as it is being written. Text becomes HTML in one place only, and that is sanitized before it is shown.

import { Lexer, Marked } from "../vendor/marked.esm.js";
import DOMPurify from "../vendor/dompurify.js";
import { copy, h, iconButton } from "./dom.js";

// A block of more characters is shown as plain text: no answer, however odd, keeps the page from answering.
const LONGEST_BLOCK = 40_000;
const SLICE = 20_000;
// What comes after so many characters of one text is shown as plain text, too: a browser takes seconds to lay out more.
const LONGEST_TEXT = 60_000;
// So are words with more signs that could mean something, for marked compares each with each, and what is nested deeper.
const MOST_SIGNS = 1500;
const DEEPEST = 30;

const TAGS =
  "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i kbd li mark ol p pre s small strong sub sup table tbody td th thead tr u ul";
const ALLOWED = {
  ALLOWED_TAGS: TAGS.split(" "),
  ALLOWED_ATTR: ["align", "href", "start", "title"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const PLAIN_TAG = /^<\/?(b|br|code|em|i|kbd|mark|s|small|strong|sub|sup|u)\s*\/?>$/i;

const escaped = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  renderer: {
    // Tags that say nothing but how a word looks are kept; any other HTML is text that somebody wants to read.
    html: ({ text, raw }) => (PLAIN_TAG.test(text.trim()) ? text : escaped(raw)),
    // A picture would be a request to elsewhere: it becomes a link.
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

/** Marked's lexer, in bounded time and depth. What is beyond is text. */
class Bounded extends Lexer {
  depth = 0;

  blockTokens(text, tokens = [], ...more) {
    return this._within(text, tokens, () => super.blockTokens(text, tokens, ...more));
  }

  inlineTokens(text, tokens = []) {
    const signs = text.match(/[*_~`[\]<]/g)?.length ?? 0;
    return this._within(text, tokens, () => super.inlineTokens(text, tokens), signs > MOST_SIGNS || text.length > LONGEST_BLOCK);
  }

  _within(text, tokens, read, isPlain = false) {
    if (isPlain || this.depth >= DEEPEST) tokens.push({ type: "text", raw: text, text });
    if (isPlain || this.depth >= DEEPEST) return tokens;
    this.depth++;
    try {
      return read();
    } finally {
      this.depth--;
    }
  }
}

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
  node.setAttribute("title", node.getAttribute("href"));
});

/** A code block with its language and a copy button; `grow` adds to its text. */
function codeBlock(language, text) {
  const content = document.createTextNode(text);
  const bar = h("div", { class: "code-bar" }, h("span", {}, language || "text"));
  const pre = h("pre", { tabindex: "0", dir: "ltr" }, h("code", {}, content));
  bar.append(iconButton("copy", "Copy code", (event) => copy(pre.textContent, event.currentTarget)));
  const element = h("div", { class: "code" }, bar, pre);
  return { element, content };
}

/** The blocks of a text; one block, shown as it is, whatever there is that marked cannot read. */
function blocks(text) {
  try {
    return new Bounded({ ...marked.defaults }).lex(text);
  } catch {
    return [{ type: "raw", raw: text }];
  }
}

function html(tokens) {
  try {
    return marked.parser(tokens);
  } catch {
    return tokens.map((token) => `<p>${escaped(token.raw)}</p>`).join("");
  }
}

const isPlain = (token) => token.type === "raw" || token.raw.length > LONGEST_BLOCK;

/** Blocks that are sanitized at once: each time costs a document of its own. */
function* together(tokens) {
  let group = [];
  for (const token of tokens) {
    if (token.type === "space" || token.type === "def") continue;
    if (token.type !== "code" && !isPlain(token)) {
      group.push(token);
      continue;
    }
    if (group.length) yield group;
    group = [];
    yield [token];
  }
  if (group.length) yield group;
}

function rendered(group) {
  const [token] = group;
  if (token.type === "code") return codeBlock(token.lang?.split(/\s/)[0], token.text).element;
  if (isPlain(token)) return h("p", { class: "raw" }, token.raw);
  const fragment = DOMPurify.sanitize(html(group), ALLOWED);
  for (const pre of fragment.querySelectorAll("pre")) pre.replaceWith(codeBlock("", pre.textContent).element);
  for (const table of fragment.querySelectorAll("table")) {
    const scrolled = h("div", { class: "table", tabindex: "0" });
    table.replaceWith(scrolled);
    scrolled.append(table);
  }
  return fragment;
}

/**
 * A text that grows. Blocks that are complete are rendered once; only the last one is rendered again, once a frame and
 * seldom enough to take a small part of the time. A long text that comes at once is rendered slice by slice.
 */
export class Markdown {
  constructor(text = "") {
    this.element = h("div", { class: "text", dir: "auto" });
    this.text = "";
    this._pending = []; // pieces that were not looked at yet
    this._tail = ""; // from the last block on
    this._shown = []; // the nodes of the last block
    this._timer = 0;
    this._taken = 0;
    if (text.length > SLICE) this.append(text);
    else if ((this.text = text)) this._take(text);
    if (text) this.end();
  }

  append(text) {
    this.text += text;
    if (this.text.length > SLICE) this.element.classList.add("long");
    for (let at = 0; at < text.length; at += SLICE) this._pending.push(text.slice(at, at + SLICE));
    if (!this._timer) this._later(0);
  }

  /** Nothing more will come. */
  end() {
    this._ended = true;
    if (!this._pending.length) this._settle();
  }

  _later(ms) {
    // A timer, because a tab in the background gets no frames.
    this._timer = setTimeout(() => {
      const began = performance.now();
      const next = this._pending.splice(0, 1);
      while (this._pending.length && next[0].length < SLICE) next[0] += this._pending.shift();
      this._take(next[0]);
      this._timer = 0;
      if (this._pending.length) this._later(4);
      else if (this._ended) this._settle();
      else this._rest(performance.now() - began);
    }, ms);
  }

  _rest(spent) {
    this._timer = setTimeout(() => {
      this._timer = 0;
      if (this._pending.length) this._later(0);
    }, Math.max(30, spent * 6));
  }

  _take(text) {
    this._tail += text;
    this._taken += text.length;
    if (this._taken > LONGEST_TEXT) return this._takePlain();
    if (this._isOpenFence()) return;
    const tokens = blocks(this._tail);
    const last = tokens.findLastIndex((token) => token.type !== "space");
    this._clear();
    const [done, unfinished] = [tokens.slice(0, Math.max(0, last)), tokens.slice(Math.max(0, last))];
    for (const group of together(done)) this.element.append(rendered(group));
    for (const group of together(unfinished)) {
      const node = rendered(group);
      this._shown = node.nodeType === 11 ? [...node.childNodes] : [node];
      this.element.append(node);
    }
    const tail = tokens.slice(Math.max(0, last)).map((token) => token.raw).join("");
    this._tail = tail;
    this._noteFence(tokens[last]);
    if (tail.length > LONGEST_BLOCK && !this._fence) this._settle();
  }

  _takePlain() {
    const cut = this._tail.lastIndexOf("\n") + 1 || this._tail.length;
    this._clear();
    this.element.append(h("p", { class: "raw" }, this._tail.slice(0, cut)));
    this._tail = this._tail.slice(cut);
    if (this._tail) this.element.append((this._shown = [h("p", { class: "raw" }, this._tail)])[0]);
  }

  _clear() {
    for (const node of this._shown) node.remove();
    this._shown = [];
    this._fence = null;
  }

  /** The last block is complete. */
  _settle() {
    this._tail = "";
    this._shown = [];
    this._fence = null;
  }

  _noteFence(token) {
    const opened = token?.type === "code" && /^ {0,3}(`{3,}|~{3,})[^\n]*\n/.exec(token.raw);
    if (!opened) return;
    const closed = new RegExp(`\\n {0,3}${opened[1]}[\`~]*[ \\t]*(?:\\n|$)`);
    if (closed.test(token.raw)) return;
    const code = this._shown[0].querySelector("code");
    code.firstChild.data = this._tail.slice(opened[0].length);
    this._fence = { closed, content: code.firstChild, at: this._tail.length };
  }

  /** Inside a code block that is not closed yet, what comes is added to its text. */
  _isOpenFence() {
    const fence = this._fence;
    if (!fence) return false;
    const from = this._tail.lastIndexOf("\n", fence.at - 1);
    if (fence.closed.test(this._tail.slice(from))) {
      this._fence = null;
      return false;
    }
    fence.content.appendData(this._tail.slice(fence.at));
    fence.at = this._tail.length;
    return true;
  }
}
