// What the agent asks in the middle of a turn, as a form. Whoever answers first, in whichever window, has answered.

import { $, h, isEnter, keepTyped, say } from "./dom.js";

const place = $("asked");
let asked = ""; // the ids of the questions that are shown
let fields = [];

export function hideQuestions() {
  place.replaceChildren();
  asked = "";
  fields = [];
}

/** The questions that are shown are over. Returns what somebody was writing as an answer. */
export function dropQuestions() {
  const typed = [...place.querySelectorAll("textarea")].map((field) => field.value.trim()).filter(Boolean);
  for (const { forget } of fields) forget();
  hideQuestions();
  return typed;
}

/** Show questions; `onanswer(responses)` gets all answers at once. Those that are shown already stay as they are. */
export function showQuestions(interrupts, onanswer) {
  const ids = JSON.stringify(interrupts.map((interrupt) => interrupt.interrupt_id));
  if (asked === ids) return;
  asked = ids;
  fields = interrupts.map(({ interrupt_id: id, name, reason }, index) => {
    const choices = choicesIn(reason);
    const label = `asked-${index}`;
    const field = choices
      ? h("select", { id: label, required: true }, h("option", { value: "" }, "Choose"), ...choices.map((choice) => h("option", {}, choice)))
      : h("textarea", { id: label, rows: "1", required: true, placeholder: "Your answer", dir: "auto" });
    field.addEventListener("keydown", (event) => {
      if (!isEnter(event)) return;
      event.preventDefault();
      form.requestSubmit();
    });
    return { id, field, name, reason, label, forget: keepTyped(field, `asked:${id}`) };
  });
  const submit = (event) => {
    event.preventDefault();
    const responses = fields.map(({ id, field }) => ({ interrupt_id: id, response: field.value.trim() }));
    dropQuestions();
    onanswer(responses);
  };
  const form = h(
    "form",
    { class: "asked", "aria-label": "Question of the agent", onsubmit: submit },
    h("h2", {}, fields.length > 1 ? "The agent asks" : "The agent has a question"),
    fields.map(({ field, name, reason, label }) => [
      h("label", { for: label }, h("strong", {}, name), reason != null && h("span", { class: "reason", dir: "auto" }, wordsOf(reason))),
      field,
    ]),
    h("div", { class: "buttons" }, h("button", { class: "primary" }, "Answer")),
  );
  place.replaceChildren(form);
  say("The agent asks something.");
  if (!document.activeElement?.value) fields[0]?.field.focus(); // nobody is writing
}

function choicesIn(reason) {
  const found = reason?.options ?? reason?.choices;
  return Array.isArray(found) && found.length && found.every((choice) => typeof choice === "string") ? found : null;
}

function wordsOf(reason) {
  if (typeof reason !== "object") return String(reason);
  const words = reason.question ?? reason.message ?? reason.text;
  return typeof words === "string" ? words : JSON.stringify(reason, null, 2);
}
