/* Passkeys and security keys: asks the service for a challenge and the browser for its answer, and sends it with the form.
   Without script, a code or an authenticator app is the way (S-103). */
"use strict";

const bytes = (said) => Uint8Array.from(atob(said.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const said = (raw) => btoa(String.fromCharCode(...new Uint8Array(raw))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

const answer = async (purpose, options) => {
  const publicKey = { ...options, challenge: bytes(options.challenge) };
  if (purpose === "use") {
    publicKey.allowCredentials = known(options.allowCredentials);
  } else {
    publicKey.user = { ...options.user, id: bytes(options.user.id) };
    publicKey.excludeCredentials = known(options.excludeCredentials);
  }
  const made = await navigator.credentials[purpose === "use" ? "get" : "create"]({ publicKey });
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature"]) {
    if (made.response[name]) response[name] = said(made.response[name]);
  }
  if (made.response.getTransports) response.transports = made.response.getTransports();
  return JSON.stringify({ id: made.id, rawId: said(made.rawId), type: made.type, response });
};

if (window.PublicKeyCredential) {
  for (const one of document.querySelectorAll("[data-passkey-with], [data-passkey]")) one.hidden = false;
  for (const one of document.querySelectorAll("[data-passkey-without]")) one.hidden = true;

  for (const box of document.querySelectorAll("[data-passkey]")) {
    const purpose = box.dataset.passkey;
    const form = box.closest("form");
    const field = form.elements.namedItem("passkey");
    const status = box.querySelector("[role=status]");
    let underWay = false;

    const prove = async () => {
      if (underWay) return;
      underWay = true;
      status.textContent = "";
      try {
        const headers = { "Content-Type": "application/json", "X-CSRFToken": form.elements.namedItem("csrf_token").value };
        const body = JSON.stringify({ purpose });
        const asked = await fetch("/api/v1/sign-ins/current/passkey-challenge", { method: "POST", headers, body });
        const told = await asked.json();
        if (!asked.ok) throw new Error(told.detail);
        field.value = await answer(purpose, told.options);
        form.requestSubmit();
      } catch (fault) {
        const words = fault.name === "InvalidStateError" ? box.dataset.known : box.dataset.failed;
        status.textContent = fault.name === "Error" ? fault.message : words;
      }
      underWay = false;
    };

    if (purpose === "use") box.querySelector("button").addEventListener("click", prove);
    form.addEventListener("submit", (event) => {
      if (event.submitter?.name === "show_in") return; // only shown in another language: no key is asked for
      if (purpose === "use" || field.value || !form.elements.namedItem("name").value.trim()) return;
      event.preventDefault(); // first the key, then the form; without a name the service says so
      prove();
    });
  }
}
