// The list of conversations: those used last first, searched, renamed, deleted.

import { askJson, pathOf, withQuery } from "./api.js";
import { confirm } from "./dialog.js";
import { $, h, icon, iconButton, periodOf, say } from "./dom.js";
import { told } from "./problems.js";

const PAGE = 40;
const rows = $("rows");
const find = $("find");

export const UNTITLED = "Untitled conversation";
export const linkTo = (sessionId, agentId) => `#/s/${encodeURIComponent(sessionId)}${agentId ? `/${encodeURIComponent(agentId)}` : ""}`;

/** The list. `ondeleted(sessionId)` and `onrenamed(sessionId, title)` tell what was done there. */
export class Sessions {
  constructor({ ondeleted, onrenamed }) {
    this._ondeleted = ondeleted;
    this._onrenamed = onrenamed;
    this._all = [];
    this._cursor = null;
    this._asked = 0; // how often the list was asked for: an answer from before the last time is not shown
    this._here = new Set(); // what is used here, and was not seen on the endpoint's list: a conversation is there when it has an answer
    this._notDone = null; // what did not succeed: `{words, again}`
    find.addEventListener("input", () => this._show());
    this._watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this._more(), { root: rows, rootMargin: "400px 0px" });
  }

  /** The session as the list knows it. */
  known(sessionId) {
    return this._all.find((session) => session.session_id === sessionId);
  }

  /** The sessions that began as a branch of this one, as far as they are loaded. */
  branchesOf(sessionId) {
    return this._all.filter((session) => session.forked_from === sessionId);
  }

  /** Load the first page again; what was loaded of others stays. */
  refresh() {
    return (this._fresh = this._refresh(++this._asked));
  }

  async _refresh(asked) {
    this._refreshing = true;
    try {
      const page = await this._page(null);
      if (asked !== this._asked) return this._fresh;
      const fresh = new Set(page.sessions.map((session) => session.session_id));
      for (const sessionId of fresh) this._here.delete(sessionId);
      const others = this._all.filter((session) => !fresh.has(session.session_id));
      const begun = others.filter((session) => this._here.has(session.session_id));
      const more = others.filter((session) => !begun.includes(session) && this._wasLater(session, page));
      this._all = [...begun, ...page.sessions, ...more];
      if (!more.length) this._cursor = page.next_cursor;
      this._problem = null;
      this._loaded = true;
    } catch (error) {
      if (asked !== this._asked) return this._fresh;
      if (error.kind !== "unreachable" || !this._loaded) this._problem = error;
    }
    this._refreshing = false;
    this._show();
  }

  /** The list is another one than the one that is being loaded. */
  _changed() {
    if (this._refreshing) this.refresh();
    else this._asked++;
    this._show();
  }

  // Of the rows loaded before, those behind the page are kept. One that should be on it has been erased.
  _wasLater(session, page) {
    const last = page.sessions.at(-1);
    return page.next_cursor && (!last || session.last_used_at < last.last_used_at);
  }

  _page(cursor) {
    return askJson("GET", withQuery("/sessions", { order: "recent", limit: PAGE, cursor }));
  }

  async _more() {
    if (!this._cursor || this._loading) return;
    this._loading = true;
    const asked = this._asked;
    try {
      const page = await this._page(this._cursor);
      if (asked === this._asked) {
        const known = new Set(this._all.map((session) => session.session_id));
        this._all.push(...page.sessions.filter((session) => !known.has(session.session_id)));
        this._cursor = page.next_cursor;
      }
      this._failed = false;
    } catch {
      this._failed = true; // the button stays, and is not pressed by scrolling
    }
    this._loading = false;
    this._show();
  }

  /** Mark the conversation that is shown. */
  choose(sessionId) {
    this._chosen = sessionId;
    for (const link of rows.querySelectorAll("a")) link.toggleAttribute("aria-current", false);
    this._linkOf(sessionId)?.setAttribute("aria-current", "page");
  }

  /** A conversation that begins here is at the top at once. */
  used(sessionId, { title, running } = {}) {
    const known = this.known(sessionId) ?? { session_id: sessionId, title: title?.slice(0, 80) ?? null };
    known.last_used_at = new Date().toISOString();
    known.running_turn = running ? (known.running_turn ?? {}) : null;
    this._all = [known, ...this._all.filter((other) => other !== known)];
    if (running) this._here.add(sessionId);
    else this._here.delete(sessionId);
    this._changed();
  }

  _linkOf(sessionId) {
    return [...rows.querySelectorAll("a")].find((link) => link.sessionId === sessionId);
  }

  _show() {
    const focused = rows.contains(document.activeElement) ? document.activeElement.closest(".row") : null;
    if (focused?.querySelector("form")) return; // somebody is renaming
    const wanted = find.value.trim().toLocaleLowerCase();
    const found = this._all.filter((session) => (session.title ?? UNTITLED).toLocaleLowerCase().includes(wanted));
    const at = focused && [focused.sessionId, document.activeElement.getAttribute("aria-label")];
    const shown = [];
    let period = null;
    let list = null;
    for (const session of found) {
      const now = periodOf(session.last_used_at);
      if (now !== period) {
        list = h("ul", { "aria-label": now });
        shown.push(h("h2", { "aria-hidden": "true" }, now), list);
        period = now;
      }
      list.append(this._row(session));
    }
    if (this._notDone) {
      const { words, again } = this._notDone;
      shown.unshift(h("p", { class: "empty problem", role: "alert" }, words, again && h("button", { type: "button", class: "link", onclick: again }, "Try again")));
    }
    if (this._problem) shown.push(h("p", { class: "empty" }, `${told(this._problem).title}. `, h("button", { type: "button", class: "link", onclick: () => this.refresh() }, "Try again")));
    else if (!found.length && this._loaded) shown.push(h("p", { class: "empty" }, wanted ? "Nothing found among the conversations shown." : "No conversations yet."));
    this._watch.disconnect();
    if (this._cursor) {
      const more = h("button", { type: "button", class: "link more", onclick: () => this._more() }, this._failed ? "Not loaded. Try again" : "Show more");
      shown.push(more);
      // A search that finds little would load everything there is.
      if (!wanted && !this._failed) this._watch.observe(more);
    }
    rows.replaceChildren(...shown);
    this.choose(this._chosen);
    if (at) {
      const row = this._linkOf(at[0])?.closest(".row");
      (row?.querySelector(`[aria-label="${CSS.escape(at[1] ?? "")}"]`) ?? row?.querySelector("a"))?.focus();
    }
  }

  _row(session) {
    const title = session.title ?? UNTITLED;
    const branch = session.forked_from && h("span", { class: "fork", role: "img", "aria-label": "Branch" }, icon("branch"));
    const link = h("a", { href: linkTo(session.session_id), title, dir: "auto" }, branch, title, session.running_turn && h("span", { class: "dot", role: "img", "aria-label": "being answered" }));
    link.sessionId = session.session_id;
    const row = h(
      "li",
      { class: "row" },
      link,
      iconButton("edit", `Rename ${title}`, () => this._rename(session, row)),
      iconButton("trash", `Delete ${title}`, () => this._delete(session)),
    );
    row.sessionId = session.session_id;
    return row;
  }

  _rename(session, row) {
    const field = h("input", { "aria-label": "Title", maxlength: "200", value: session.title ?? "", dir: "auto" });
    let over = false;
    const close = () => {
      over = true;
      const isHere = form.contains(document.activeElement); // else somebody has gone on elsewhere
      form.closest(".row").replaceWith(this._row(session));
      this.choose(this._chosen);
      if (isHere) this._linkOf(session.session_id)?.nextSibling.focus();
    };
    const save = async () => {
      const title = field.value.trim();
      if (over || !title || title === session.title) return over || close();
      over = true;
      this._notDone = null;
      try {
        await askJson("PATCH", pathOf(session.session_id), { body: { title } });
        session = this.known(session.session_id) ?? session; // the list may have been loaded anew
        session.title = title;
        this._onrenamed(session.session_id, title);
        say("Renamed.");
      } catch (error) {
        this._notDone = { words: `Not renamed: ${told(error).title}. ` };
      }
      close();
      this._changed(); // it may have been drawn anew meanwhile
    };
    const form = h("form", { onsubmit: (event) => (event.preventDefault(), save()) }, field);
    field.addEventListener("keydown", (event) => event.key === "Escape" && (event.stopPropagation(), close()));
    field.addEventListener("blur", save);
    row.replaceChildren(form);
    field.select();
  }

  async _delete(session) {
    const title = session.title ?? UNTITLED;
    const sure = await confirm("Delete this conversation?", ["“", h("bdi", {}, title), "” is erased with everything in it. This cannot be undone."], "Delete");
    if (!sure) {
      // The list may have been drawn anew meanwhile.
      this._linkOf(session.session_id)?.closest(".row").querySelector('[aria-label^="Delete"]').focus();
      return;
    }
    await this._erase(session);
  }

  async _erase({ session_id: sessionId }) {
    this._notDone = null;
    try {
      await erase(sessionId);
    } catch (error) {
      if (error.kind !== "not-found") {
        this._notDone = { words: `Not deleted: ${told(error).title}. `, again: () => this._erase({ session_id: sessionId }) };
        this._show();
        return;
      }
    }
    const index = this._all.findIndex((other) => other.session_id === sessionId);
    this._all = this._all.filter((other) => other.session_id !== sessionId);
    this._here.delete(sessionId);
    this._changed();
    const next = this._all[index] ?? this._all[index - 1];
    // The focus has gone with the row, or somebody has gone on elsewhere.
    if (document.activeElement === document.body) (next ? this._linkOf(next.session_id) : $("new"))?.focus();
    say("Deleted.");
    this._ondeleted(sessionId);
  }
}

/** Erase a session whole: what does not fit into one request goes on in the next. */
async function erase(sessionId) {
  while ((await askJson("DELETE", pathOf(sessionId))) !== null) await new Promise((resolve) => setTimeout(resolve, 1000));
}
