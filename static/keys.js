// The search that lies over the page, and keys: Ctrl K always, single keys unless switched off.
"use strict";

(() => {
  const palette = () => document.getElementById("palette");
  const single = () => document.documentElement.dataset.shortcuts === "on";
  const typing = (it) => it.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]");
  const hits = (within) => [...within.querySelectorAll(".palette__hit")];
  let going = 0;

  // Who is quicker than the page asks as soon as somebody listens.
  function look(field, tries = 100) {
    if (field.hasAttribute("data-htmx-powered")) field.dispatchEvent(new CustomEvent("look"));
    else if (tries) requestAnimationFrame(() => look(field, tries - 1));
  }

  function open() {
    const dialog = palette();
    const field = document.getElementById("palette-q");
    if (dialog && !dialog.open) {
      dialog.showModal();
      look(field);
    }
    field?.focus();
    field?.select();
    return Boolean(field);
  }

  // Arrow keys walk from the field through what was found and back.
  function walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const place = event.target.closest?.("#palette") || (event.target.id === "palette-q" && document);
    if (!place) return false;
    const field = document.getElementById("palette-q");
    const all = [field, ...hits(place)];
    if (event.key === "Enter" && event.target === field && all[1] && palette()?.open) {
      event.preventDefault();
      all[1].click();
      return true;
    }
    const at = all.indexOf(event.target);
    if (!step || at < 0) return false;
    event.preventDefault();
    all[(at + step + all.length) % all.length].focus();
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || walk(event)) return;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      if (open()) event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || !single() || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (going && Date.now() - going < 1500) {
      going = 0;
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
    } else if (event.key === "g") {
      going = Date.now();
    } else if (event.key === "/") {
      if (open()) event.preventDefault();
    } else if (event.key === "?") {
      const link = document.querySelector("[data-palette]");
      if (link) location.assign(`${link.href}#keys`);
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette]") && !event.ctrlKey && !event.metaKey && palette()) {
      event.preventDefault();
      open();
    } else if (event.target === palette()) {
      palette().close(); // beside the box
    }
  });
})();
