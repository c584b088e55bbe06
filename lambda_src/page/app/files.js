// Files on their way into a message: which ones are taken, and how large they may be together.

import { sizeOf } from "./dom.js";

const SAME = { jpg: "jpeg", htm: "html", markdown: "md", text: "txt", "3gp": "three_gp", mpe: "mpeg" };

/** What may be sent, from the endpoint's limits. */
export class Limits {
  constructor({ request_bytes, formats, document_name } = {}) {
    this._formats = formats ?? {};
    this._nameLength = document_name?.max_length ?? 200;
    // Base64 makes four letters of three bytes. Some room stays for the words.
    this.bytes = Math.floor(((request_bytes ?? 6_000_000) - 100_000) * 0.75);
  }

  get words() {
    const names = Object.entries(this._formats).map(([kind, formats]) => `${kind}s (${formats.join(", ")})`);
    return `Up to ${sizeOf(this.bytes)} together: ${names.join(", ")}`;
  }

  get short() {
    return `files up to ${sizeOf(this.bytes)}`;
  }

  get accept() {
    const other = Object.entries(SAME).map(([from]) => `.${from}`);
    return [...Object.values(this._formats).flat().map((format) => `.${format}`), ...other].join(",");
  }

  /** `{kind, format}` of a file, or null when it cannot be sent. */
  kindOf(file) {
    const ends = file.name.includes(".") ? file.name.split(".").pop().toLowerCase() : file.type.split("/").pop();
    const format = SAME[ends] ?? ends;
    const kind = Object.keys(this._formats).find((name) => this._formats[name].includes(format));
    return kind ? { kind, format } : null;
  }

  /** The name of a document as the contract takes it; other letters become hyphens. */
  nameOf(file, taken) {
    const plain = file.name.replace(/\.[^.]*$/, "").normalize("NFKD").replace(/[\u0300-\u036f]/g, "");
    const name = plain.replace(/[^A-Za-z0-9()[\] -]+/g, "-").replace(/ +/g, " ").trim().slice(0, this._nameLength - 8).trim() || "document";
    for (let number = 1; ; number++) {
      const numbered = number === 1 ? name : `${name} (${number})`;
      if (!taken.includes(numbered)) return numbered;
    }
  }
}

/** A file as a content block. */
export async function blockOf(file, limits, name) {
  const { kind, format } = limits.kindOf(file);
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  const source = { bytes: url.slice(url.indexOf(",") + 1) };
  return { [kind]: { format, ...(kind === "document" && { name }), source } };
}
