// The worker that keeps the frame and an offline page, and a ticket that somebody asked to keep.
"use strict";

(() => {
  const TICKET = "holdfast-ticket";
  // Addresses that no page has: names for what is kept, below the path that we are shown under.
  const kept = (name) => `${document.getElementById("worker").dataset.scope}kept/${name}`;

  async function start() {
    const place = document.getElementById("worker");
    if (!place || !navigator.serviceWorker || !isSecureContext) return;
    let url = place.dataset.worker;
    // The policy of the page lets no plain text become a script; this one text may.
    if (window.trustedTypes) {
      url = trustedTypes.createPolicy("holdfast", {
        createScriptURL: (wish) => { if (wish !== place.dataset.worker) throw new TypeError(wish); return wish; },
      }).createScriptURL(url);
    }
    try { await navigator.serviceWorker.register(url, { scope: place.dataset.scope }); } catch { /* pages work without */ }
  }

  // One ticket is kept, and only after somebody asked for it; `from` says which.
  async function keptNow() {
    const words = await caches.match(kept("ticket.json"), { cacheName: TICKET });
    return words ? words.json() : null;
  }

  function mark(button, now) {
    const here = now?.from === button.dataset.keep;
    button.setAttribute("aria-pressed", String(here));
    button.querySelector("span").textContent = here ? button.dataset.done : button.dataset.wish;
  }

  async function keep(button) {
    const picture = await fetch(button.dataset.keep);
    if (!picture.ok) return;
    const cache = await caches.open(TICKET);
    const words = { words: button.dataset.words, from: button.dataset.keep };
    await cache.put(kept("ticket.png"), picture);
    await cache.put(kept("ticket.json"), new Response(JSON.stringify(words)));
    mark(button, words);
  }

  async function toggle(button) {
    if (button.getAttribute("aria-pressed") !== "true") return keep(button);
    await caches.delete(TICKET);
    mark(button, null);
  }

  // Where the ticket that counts is shown, the kept one follows it: last month's helps nobody.
  async function offer(button) {
    if (!window.caches) return;
    button.hidden = false;
    const now = await keptNow();
    if (now && "keepCurrent" in button.dataset) await keep(button);
    else mark(button, now);
  }

  async function showKept() {
    const shelf = document.getElementById("kept-ticket");
    if (!shelf || !window.caches) return;
    const cache = await caches.open(TICKET);
    const [picture, words] = await Promise.all([cache.match(kept("ticket.png")), cache.match(kept("ticket.json"))]);
    if (!picture || !words) return;
    const bytes = new Uint8Array(await picture.arrayBuffer());
    document.getElementById("kept-picture").src = `data:image/png;base64,${btoa(String.fromCharCode(...bytes))}`;
    document.getElementById("kept-words").textContent = (await words.json()).words;
    shelf.hidden = false;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-keep]");
    if (button) toggle(button);
  });
  // Who signs out leaves no ticket behind on this device.
  document.addEventListener("submit", (event) => { if ("forget" in event.target.dataset) window.caches?.delete(TICKET); });
  window.addEventListener("load", start);
  document.addEventListener("DOMContentLoaded", () => {
    // Nor does a session that ended by itself: this page is shown only where nobody is signed in.
    if (document.querySelector("[data-nobody]")) window.caches?.delete(TICKET);
    document.querySelectorAll("[data-keep]").forEach(offer);
    showKept();
  });
})();
