/* A form that saves itself: when a changed field is left, at most every 30 seconds. Without script, its button saves it. */
"use strict";

for (const form of document.querySelectorAll("form[data-saves-itself]")) {
  const every = 30000;
  const status = form.querySelector("[role=status]");
  const version = form.elements.namedItem("version");
  let last = 0;
  let timer = null;
  let underWay = null;

  const typed = () => {
    const words = new URLSearchParams(new FormData(form));
    words.delete("idempotency_key"); // that one is for the button: each saving by itself is one of its own
    words.delete("version");
    return words.toString();
  };
  let kept = typed();

  const send = async (words) => {
    const body = new URLSearchParams(words);
    body.set("version", version.value);
    try {
      const answer = await fetch(form.action, { method: "POST", headers: { "X-Saves-Itself": "1" }, body, redirect: "error" });
      if (!answer.ok) throw new Error(answer.status);
      const told = await answer.json();
      version.value = told.version;
      kept = words;
      status.textContent = told.said;
    } catch {
      status.textContent = form.dataset.notSaved;
    }
  };

  const keep = () => {
    timer = null;
    const words = typed();
    if (underWay || words === kept) return;
    last = Date.now();
    underWay = send(words).finally(() => { underWay = null; });
  };

  form.addEventListener("focusout", () => {
    if (timer === null && typed() !== kept) timer = setTimeout(keep, Math.max(0, last + every - Date.now()));
  });
  form.addEventListener("submit", (event) => {
    clearTimeout(timer);
    if (underWay === null) return;
    event.preventDefault(); // the version it has to name is on its way
    underWay.then(() => form.requestSubmit(event.submitter));
  });
}
