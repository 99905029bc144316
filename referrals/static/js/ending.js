/* Says two minutes before a sign-in ends that it does, and lets one press extend it (S-109, WCAG 2.2.1). What counts is
   the server's word: other tabs may have extended it, so it is asked first, by a request that is no use of the sign-in. */
"use strict";

for (const box of document.querySelectorAll(".tg-ending")) {
  const warned = 2 * 60 * 1000;
  const slack = 1000;
  const address = "/api/v1/sign-ins/current";
  let endsAt = Date.now() + Number(box.dataset.endsIn) * 1000;
  let timer = null;
  let why = "idle";

  const show = (what) => {
    for (const one of box.querySelectorAll("[data-when]")) one.hidden = one.dataset.when !== what;
    box.hidden = what === null;
  };

  // How long it lasts, by the server's own clock; 0: it is over; null: nobody answers.
  const left = async (headers) => {
    try {
      const answer = await fetch(address, { headers, cache: "no-store" });
      if (answer.status === 401) return 0;
      if (!answer.ok) return null;
      const told = await answer.json();
      return new Date(told.ends_at) - new Date(answer.headers.get("Date"));
    } catch {
      return null;
    }
  };

  const plan = () => {
    clearTimeout(timer);
    const rest = endsAt - Date.now();
    if (rest <= 0 && box.dataset.leave) return location.replace(box.dataset.leave); // others use this screen
    show(rest > warned ? null : rest > 0 ? why : "over");
    if (rest > 0) timer = setTimeout(look, (rest > warned ? rest - warned : rest) + slack);
  };

  const look = async () => {
    const rest = await left({ "X-Background": "1" });
    if (rest !== null) endsAt = Date.now() + rest;
    plan();
  };

  box.querySelector("button").addEventListener("click", async () => {
    const rest = await left({});
    if (rest === null) return;
    endsAt = Date.now() + rest;
    why = rest > warned ? "idle" : "last"; // used just now, and yet near its end
    plan();
    document.querySelector("main").focus();
  });

  // A lid that was closed stops timers.
  document.addEventListener("visibilitychange", () => { if (!document.hidden && endsAt - Date.now() <= warned) look(); });
  plan();
}
