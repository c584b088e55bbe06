// Asking before something is lost. The focus goes back to where it was.

import { h } from "./dom.js";

/** Ask, in words and elements; resolves to whether the answer is yes. */
export function confirm(title, words, yes) {
  return new Promise((resolve) => {
    const from = document.activeElement;
    const close = (answer) => {
      dialog.close();
      dialog.remove();
      from?.focus?.();
      resolve(answer);
    };
    const no = h("button", { type: "button", class: "plain", onclick: () => close(false) }, "Cancel");
    const sure = h("button", { type: "button", class: "danger", onclick: () => close(true) }, yes);
    const dialog = h(
      "dialog",
      { "aria-labelledby": "asked-title", "aria-describedby": "asked-words" },
      h("h2", { id: "asked-title" }, title),
      h("p", { id: "asked-words" }, words),
      h("div", { class: "buttons" }, no, sure),
    );
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(false);
    });
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}
