/* Back from an organization's own sign-in: sends the one form on at once. Without script its button does. */
"use strict";

for (const box of document.querySelectorAll("[data-at-once]")) box.querySelector("form").requestSubmit();
