// The queue's pages: single keys, and the switch that holds live updates while one reads.
"use strict";

(() => {
  const single = () => document.documentElement.dataset.shortcuts === "on";
  const typing = (it) => it.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]");
  let held = false;
  let missed = false;
  let acted = 0;
  let going = 0;

  // Held: what the stream says is passed over; letting go fetches everything that listens.
  function hold(button) {
    held = !held;
    button.setAttribute("aria-pressed", String(held));
    button.querySelector("span").textContent = held ? button.dataset.go : button.dataset.hold;
    const dot = document.getElementById("live-state");
    dot.dataset.state = held ? "held" : "live";
    dot.textContent = held ? button.dataset.held : dot.dataset.wordsLive;
    if (!held && missed) document.body.dispatchEvent(new CustomEvent("resync"));
    missed = false;
  }
  document.addEventListener("htmx:sse:before:message", (event) => {
    if (!held || event.detail.message?.event === "bye") return;
    missed = true;
    event.preventDefault();
  });
  // What a throttle had kept back waits too; what one's own press brings does not.
  document.addEventListener("htmx:before:request", (event) => {
    const { sourceElement: it, request } = event.detail.ctx;
    if (request.method === "POST") acted = Date.now();
    const alone = "tail" in (it?.dataset ?? {}) || it?.getAttribute("hx-trigger")?.includes("from:body");
    if (!held || !alone || Date.now() - acted < 1500) return;
    missed = true;
    event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-hold]");
    if (button) hold(button);
  });
  const reveal = () => document.querySelectorAll("[data-hold]").forEach((it) => { it.hidden = false; });
  document.addEventListener("htmx:after:swap", reveal);
  document.addEventListener("DOMContentLoaded", () => {
    reveal();
    // On a phone the present tab may lie beyond the edge.
    document.querySelectorAll(".tabs [aria-current]").forEach((it) => { it.parentElement.scrollLeft = it.offsetLeft - it.parentElement.offsetLeft - 16; });
  });

  // A key presses what carries it: in the row that has the focus, or on the page of one job.
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || !single() || typing(event.target) || document.querySelector("dialog[open]")) return;
    const late = going && Date.now() - going < 1500;
    going = event.key === "g" ? Date.now() : 0;
    if (late || event.key.length !== 1) return;
    const search = event.key === "/" && document.querySelector("[data-search]");
    const place = event.target.closest?.("tr") ?? document.getElementById("job-now");
    const key = `[data-key="${CSS.escape(event.key)}"]`;
    const it = place?.querySelector(key) ?? document.querySelector(`.sections ${key}`);
    if (!search && !it) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (search) search.focus();
    else it.click();
  });
})();
