// Passkeys: asks the browser to make or show one and sends its answer with the form it belongs to.
"use strict";

(() => {
  const able = () => window.PublicKeyCredential?.parseCreationOptionsFromJSON && window.PublicKeyCredential?.parseRequestOptionsFromJSON;

  async function run(form) {
    const say = form.querySelector("[data-passkey-note]");
    const send = form.querySelector("button");
    send.disabled = true;
    say.textContent = "";
    try {
      const answer = await fetch(form.dataset.passkey, { method: "POST", headers: { Accept: "application/json" } });
      if (!answer.ok || answer.redirected) { location.reload(); return; }
      const asked = await answer.json();
      const found = form.dataset.kind === "add"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(asked) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(asked) });
      form.querySelector("[name=credential]").value = JSON.stringify(found.toJSON());
      // A tick of the form beside it counts for this one too.
      for (const field of form.querySelectorAll("[data-from]")) field.value = document.getElementById(field.dataset.from)?.checked ? "1" : "";
      form.submit();
    } catch {
      // The person said no, or there is no key here: both are fine, and the other way stays open.
      say.textContent = form.dataset.words;
      send.disabled = false;
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-passkey]");
    if (!form) return;
    event.preventDefault();
    run(form);
  });
  const show = () => { if (able()) document.querySelectorAll("form[data-passkey]").forEach((form) => { form.hidden = false; }); };
  document.addEventListener("DOMContentLoaded", show);
  document.addEventListener("htmx:after:swap", show);
})();
