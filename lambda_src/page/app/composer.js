// Where a message is written: text, files, sending, stopping.

import { $, DRAFT, h, icon, iconButton, isEnter, sizeOf, storage } from "./dom.js";
import { blockOf } from "./files.js";

const area = $("prompt");
const problem = $("problem");

/** The message field. `onsend(content)` returns whether the message was taken; `onstop()` stops the answer. */
export class Composer {
  constructor(limits, { onsend, onstop }) {
    this._limits = limits;
    this._onsend = onsend;
    this._files = [];
    this._place = "";
    $("limits").textContent = limits.words;
    $("picker").accept = limits.accept;
    $("most").textContent = limits.short;
    $("attach").addEventListener("click", () => $("picker").click());
    $("picker").addEventListener("change", (event) => {
      this.addFiles([...event.target.files]);
      event.target.value = "";
    });
    $("stop").addEventListener("click", onstop);
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this._send();
    });
    area.addEventListener("input", () => this._changed());
    area.addEventListener("keydown", (event) => {
      if (!isEnter(event)) return;
      event.preventDefault();
      this._send();
    });
    area.addEventListener("paste", (event) => {
      const { files, types } = event.clipboardData;
      // Spreadsheets and word processors add a picture of the text; the text is what is meant.
      if (!files.length || (types.includes("text/plain") && types.includes("text/html"))) return;
      event.preventDefault();
      this.addFiles([...files]);
    });
    const main = $("main");
    const over = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      main.dataset.drop = "";
    };
    // Anywhere on the page: a file that nobody takes would be opened in its place.
    document.addEventListener("dragenter", over);
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", (event) => !event.relatedTarget && delete main.dataset.drop);
    document.addEventListener("drop", (event) => {
      delete main.dataset.drop;
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      this.addFiles([...event.dataTransfer.files]);
    });
  }

  /** What is written belongs to this conversation, and is there again when one comes back. `isSame`: it has another name only. */
  moveTo(place, isSame) {
    if (isSame) storage.removeItem(this._place);
    this._place = DRAFT + place;
    area.value = (isSame && area.value) || (storage.getItem(this._place) ?? "");
    if (!isSame) this._files = []; // another list: what still goes on with the old one ends there
    this._showFiles();
    this.tell("");
    this._changed();
  }

  focus() {
    area.focus();
  }

  /** Whether a reload would lose something of what is written. */
  get isUnsaved() {
    return this._files.length > 0 || area.value !== (storage.getItem(this._place) ?? "");
  }

  /** Whether an answer is being given, which can be stopped, and whether something keeps a message from being sent. */
  set({ running = false, stopping = false, blocked = "" }) {
    this._running = running || Boolean(blocked);
    $("stop").hidden = !running;
    $("stop").disabled = stopping;
    $("send").hidden = running;
    area.placeholder = blocked || "Write a message";
    this._changed();
  }

  /** Give a message back to be changed, above what is being written. */
  giveBack(content) {
    area.value = [...content.map((block) => block.text), area.value].filter(Boolean).join("\n\n");
    this._files.unshift(...content.filter((block) => !block.text).map((block) => ({ block, name: block.document?.name })));
    this._showFiles();
    this._changed();
    if (document.activeElement === document.body) area.focus(); // what had the focus has gone
  }

  tell(words) {
    problem.textContent = words;
  }

  addFiles(files) {
    const refused = [];
    for (const file of files) {
      if (!this._limits.kindOf(file)) refused.push(`${file.name} is of a kind that cannot be sent.`);
      else if (this._size + file.size > this._limits.bytes)
        refused.push(`${file.name} is too large: files may have ${sizeOf(this._limits.bytes)} together.`);
      else if (file.size === 0) refused.push(`${file.name} is empty.`);
      else this._read(file);
    }
    this._showFiles();
    this.tell(refused.length ? `${refused.join(" ")} ${this._limits.words}.` : "");
    this._changed();
    area.focus();
  }

  _read(file) {
    const files = this._files;
    const isNamed = this._limits.kindOf(file).kind === "document";
    const entry = { file, name: isNamed && this._limits.nameOf(file, files.map((other) => other.name)) };
    files.push(entry);
    entry.ready = blockOf(file, this._limits, entry.name).then(
      (block) => (entry.block = block),
      () => {
        this._remove(entry, files);
        if (this._sending === files) this._sending = null;
        if (files === this._files) this.tell(`${file.name} cannot be read.`);
      },
    );
  }

  _remove(entry, files) {
    if (files.includes(entry)) files.splice(files.indexOf(entry), 1);
    this._showFiles();
    this._changed();
  }

  get _size() {
    return this._files.reduce((sum, { file, block }) => sum + (file?.size ?? JSON.stringify(block).length * 0.75), 0);
  }

  _showFiles() {
    const list = $("files");
    list.hidden = !this._files.length;
    list.replaceChildren(
      ...this._files.map((entry) => {
        const name = entry.file?.name ?? entry.block?.document?.name ?? "Image";
        const remove = () => {
          this._remove(entry, this._files);
          area.focus();
        };
        return h("li", {}, icon("file"), h("span", {}, name), entry.file && h("small", {}, sizeOf(entry.file.size)), iconButton("close", `Remove ${name}`, remove));
      }),
    );
  }

  _changed() {
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
    $("send").disabled = this._running || !area.value.trim();
    $("send").title = this._files.length && !area.value.trim() ? "Say what to do with the files" : "Send";
    if (!this._place) return;
    try {
      if (area.value) storage.setItem(this._place, area.value);
      else storage.removeItem(this._place);
    } catch {
      // A draft too long to be kept is lost by a reload, and by nothing else.
    }
  }

  async _send() {
    const files = this._files;
    if (!area.value.trim() || this._running || this._sending === files) return;
    this._sending = files; // until they are read
    while (files.some((entry) => !entry.block)) await Promise.all(files.map((entry) => entry.ready));
    if (this._sending !== files) return; // one of them could not be read
    this._sending = null;
    const text = area.value.trim();
    if (!text || this._running || this._files !== files) return;
    const blocks = files.map((entry) => entry.block);
    if (text.length + JSON.stringify(blocks).length > this._limits.bytes / 0.75) {
      this.tell(`This is too large. ${this._limits.words}.`);
      return;
    }
    this.tell("");
    area.value = "";
    this._files = [];
    this._showFiles();
    this._changed();
    this._onsend([...blocks, { text }]);
  }
}
