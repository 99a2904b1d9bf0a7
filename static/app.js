// The behaviour of the pages: theme, live state, toasts, copying, small fallbacks. Pages work without it.
"use strict";

(() => {
  const root = document.documentElement;
  const on = (type, run, target = document) => target.addEventListener(type, run);
  const each = (selector, run, within = document) => within.querySelectorAll(selector).forEach(run);

  // What only scripts can do is hidden until there is one.
  function reveal(within = document) {
    each("[data-copy], [data-reveal], [data-themes], [data-pick-all], [data-bulk-count], #live-state", (it) => { it.hidden = false; }, within);
  }

  // Theme: remembered on this device, drawn by the server on the next page.
  function setTheme(theme) {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    const kept = document.cookie.split("; ").find((it) => it.startsWith(`${root.dataset.look}=`)) || "";
    const locale = kept.split("=")[1]?.split(".")[0] || "";
    document.cookie = `${root.dataset.look}=${locale}.${theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    each("[data-theme-set]", (it) => it.setAttribute("aria-pressed", String(it.dataset.themeSet === theme)));
  }

  // Live state: the dot in the header says whether what one sees is fresh.
  let connected = false;
  let lastWord = null;
  let over = false;
  let missed = false;
  function showState(look) {
    const dot = document.getElementById("live-state");
    if (!dot || over) return;
    if (look === "failed") over = true;
    let words = dot.dataset[`words${look[0].toUpperCase()}${look.slice(1)}`];
    if (look === "off" && lastWord) {
      words += ` ${lastWord.toLocaleTimeString(root.lang === "en" ? "en-GB" : root.lang, { hour: "2-digit", minute: "2-digit" })}`;
    } else if (look === "off") {
      words = dot.dataset.wordsOff.split(",")[0];
    }
    if (dot.dataset.state === look && dot.textContent === words) return;
    dot.dataset.state = look;
    dot.textContent = words;
  }
  function heard() { connected = true; lastWord = new Date(); showState("live"); }
  function lost() { connected = false; missed = true; showState("off"); }
  function refresh() { missed = false; document.body.dispatchEvent(new CustomEvent("resync")); }

  on("htmx:sse:after:connection", () => { const late = missed; heard(); if (late) refresh(); });
  on("htmx:sse:after:message", heard);
  on("htmx:sse:before:connection", (event) => { if (event.detail.connection.attempt > 0 && !connected) showState("off"); });
  on("htmx:sse:error", lost);
  on("htmx:sse:close", (event) => {
    connected = false;
    if (event.detail.reason === "message") showState("failed");
    else if (event.detail.reason !== "removed") lost();
  });
  on("htmx:error", (event) => { if (event.detail.ctx?.sourceElement?.id === "live") lost(); });
  on("htmx:response:error", (event) => { if (event.detail.ctx?.sourceElement?.id === "live") lost(); });
  on("offline", lost, window);
  on("online", () => { if (!connected) showState("again"); }, window);
  // Without a stream (too many, or a proxy that eats it) the page still looks after itself once a minute.
  setInterval(() => { if (!connected && !over && !document.hidden && document.getElementById("live")) refresh(); }, 60000);

  // Toasts: good news fade, errors stay.
  function fade(toast) {
    let left = setTimeout(() => toast.remove(), Number(toast.dataset.fades) || 7000);
    on("pointerenter", () => clearTimeout(left), toast);
    on("pointerleave", () => { left = setTimeout(() => toast.remove(), 3000); }, toast);
  }
  function say(text) {
    const pattern = document.getElementById("toast-pattern");
    const shelf = document.getElementById("toasts");
    if (!pattern || !shelf || !text) return;
    const toast = pattern.content.firstElementChild.cloneNode(true);
    toast.querySelector(".state").textContent = text;
    shelf.append(toast);
    fade(toast);
  }
  on("toast", (event) => say(event.detail?.text));

  // Bulk bar: how many rows are chosen.
  function count(list) {
    const bar = list?.querySelector("[data-bulk]");
    if (!bar) return;
    const chosen = list.querySelectorAll("tbody .pick :checked").length;
    each("[data-bulk-count]", (it) => { it.textContent = String(chosen); }, bar);
  }

  async function copy(button) {
    const from = document.getElementById(button.dataset.copy);
    const text = from?.value ?? from?.textContent ?? "";
    const word = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(text.trim());
    } catch {
      // Plain http has no clipboard: choose the text, so that one keystroke copies it.
      getSelection()?.selectAllChildren(from);
      return;
    }
    const before = word.textContent;
    word.textContent = button.dataset.done;
    setTimeout(() => { word.textContent = before; }, 2000);
  }

  // Menus open beside their button also where CSS anchors are unknown.
  function place(menu) {
    const button = document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`);
    if (!button || CSS.supports("position-area: block-end")) return;
    const at = button.getBoundingClientRect();
    const box = menu.getBoundingClientRect();
    const below = at.bottom + box.height < innerHeight;
    menu.style.insetBlockStart = `${below ? at.bottom : at.top - box.height}px`;
    menu.style.insetInlineStart = `${Math.max(8, at.right - box.width)}px`;
  }

  on("click", (event) => {
    const it = event.target.closest("[data-copy], [data-close], [data-reveal], [data-theme-set], [popovertarget], [commandfor], .menu a, .menu button");
    if (!it) return;
    if (it.dataset.copy) copy(it);
    else if ("close" in it.dataset) it.closest(".toast, dialog")?.remove();
    else if (it.dataset.themeSet) setTheme(it.dataset.themeSet);
    else if (it.dataset.reveal) {
      const field = document.getElementById(it.dataset.reveal);
      const shown = field.type === "text";
      field.type = shown ? "password" : "text";
      it.setAttribute("aria-pressed", String(!shown));
    } else if (it.hasAttribute("popovertarget") && !HTMLElement.prototype.showPopover) {
      document.getElementById(it.getAttribute("popovertarget"))?.classList.toggle("menu--open");
    } else if (it.hasAttribute("commandfor") && !("command" in HTMLButtonElement.prototype)) {
      const dialog = document.getElementById(it.getAttribute("commandfor"));
      if (it.getAttribute("command") === "close") dialog?.close();
      else dialog?.showModal();
    } else if (it.closest("[popover]") && !it.hasAttribute("popovertarget")) {
      // After a choice the menu goes; the form inside it is sent first.
      setTimeout(() => it.closest("[popover]")?.hidePopover?.());
    }
  });
  on("toggle", (event) => { if (event.newState === "open" && event.target.matches?.(".menu[popover]")) place(event.target); }, { addEventListener: (type, run) => document.addEventListener(type, run, true) });
  on("change", (event) => {
    const it = event.target;
    if (it.matches("[data-pick-all]")) each("tbody .pick input:not(:disabled)", (box) => { box.checked = it.checked; }, it.closest(".list"));
    if (it.closest?.(".pick")) count(it.closest(".list"));
  });
  on("input", (event) => {
    const shown = event.target.dataset.output && document.getElementById(event.target.dataset.output);
    if (shown) shown.textContent = event.target.value;
  });

  // A log that stands at its end stays there when lines come.
  const atEnd = (log) => log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  function follow(within = document) {
    each("[data-follow]", (log) => { if (!log.dataset.held) log.scrollTop = log.scrollHeight; }, within);
  }
  document.addEventListener("scroll", (event) => {
    const log = event.target;
    if (log.dataset && "follow" in log.dataset) {
      if (atEnd(log)) delete log.dataset.held;
      else log.dataset.held = "1";
    }
  }, true);

  // A ticket on the screen keeps the screen awake.
  async function stayAwake() {
    if (!document.querySelector("[data-wake]") || document.hidden) return;
    try { await navigator.wakeLock?.request("screen"); } catch { /* the device decides */ }
  }
  on("visibilitychange", stayAwake);

  function settle(within = document) {
    reveal(within);
    follow(within);
    const summary = document.querySelector("[data-focus]");
    if (summary && !summary.dataset.seen) { summary.dataset.seen = "1"; summary.focus(); }
    each(".toast[data-fades]:not([data-going])", (toast) => { toast.dataset.going = "1"; fade(toast); }, document.getElementById("toasts") || document);
    each(".list", count);
    each("[data-said]", (said) => {
      const field = document.getElementById(said.dataset.said);
      if (said.firstElementChild) field?.setAttribute("aria-invalid", "true");
      else field?.removeAttribute("aria-invalid");
    });
    // A notice is shown once, and the next question asks for what came after it.
    const after = document.getElementById("notice-after");
    each("[data-notice]", (toast) => {
      if (after && toast.dataset.notice > after.value) after.value = toast.dataset.notice;
    }, document.getElementById("toasts") || document);
  }
  // Tabs that do not all fit: the one that one is on stands in the middle.
  function show() {
    each(".tabs > [aria-current]", (tab) => {
      const strip = tab.parentElement;
      const middle = (it) => { const at = it.getBoundingClientRect(); return at.left + at.width / 2; };
      strip.scrollLeft += middle(tab) - middle(strip);
    });
  }
  on("htmx:after:swap", () => settle());
  on("DOMContentLoaded", () => { settle(); show(); stayAwake(); });
  if (document.readyState !== "loading") { settle(); show(); }
})();
