/* The key "/" leads to the search box. Without script, the menu does. Whoever dictates or presses keys by chance turns it
   off on the search page (WCAG 2.1.4); that choice, and nothing else, is kept in this browser. */
"use strict";

(() => {
  const name = "throughgate-shortcuts";
  const isOff = () => { try { return localStorage.getItem(name) === "off"; } catch { return false; } };
  const choice = document.getElementById("shortcuts-off");
  if (choice) {
    choice.closest("[hidden]").hidden = false;
    choice.checked = isOff();
    choice.addEventListener("change", () => {
      try { choice.checked ? localStorage.setItem(name, "off") : localStorage.removeItem(name); } catch { choice.checked = false; }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isOff()) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const box = document.querySelector("input[type=search]");
    const link = document.querySelector('.tg-menu a[href="/search"]');
    if (!box && !link) return;
    event.preventDefault();
    if (box) box.focus(); else link.click();
  });
})();
