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

  /** What is written belongs to this conversation, and is there again when one comes back. */
  moveTo(place) {
    this._place = DRAFT + place;
    area.value = storage.getItem(this._place) ?? "";
    this._files = [];
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
    this._files = [...content.filter((block) => !block.text).map((block) => ({ block })), ...this._files];
    this._showFiles();
    this._changed();
    area.focus();
  }

  tell(words) {
    problem.textContent = words;
  }

  async addFiles(files) {
    this.tell("");
    const refused = [];
    for (const file of files) {
      if (!this._limits.kindOf(file)) refused.push(`${file.name} is of a kind that cannot be sent.`);
      else if (this._size + file.size > this._limits.bytes)
        refused.push(`${file.name} is too large: files may have ${sizeOf(this._limits.bytes)} together.`);
      else if (file.size === 0) refused.push(`${file.name} is empty.`);
      else {
        const entry = { file };
        this._files.push(entry);
        const taken = this._files.map(({ block }) => block?.document?.name);
        entry.ready = blockOf(file, this._limits, taken).then(
          (block) => (entry.block = block),
          () => this.tell(`${file.name} cannot be read.`),
        );
        await entry.ready;
      }
    }
    this._showFiles();
    if (refused.length) this.tell(`${refused.join(" ")} ${this._limits.words}.`);
    this._changed();
    area.focus();
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
          this._files = this._files.filter((other) => other !== entry);
          this._showFiles();
          this._changed();
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
    if (!area.value.trim() || this._running || this._sending) return;
    const place = this._place;
    this._sending = true; // until the files are read
    await Promise.all(this._files.map((entry) => entry.ready));
    this._sending = false;
    const text = area.value.trim();
    if (!text || this._running || this._place !== place) return;
    const blocks = this._files.map((entry) => entry.block).filter(Boolean);
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
