// Keeps the frame of the pages and one offline page. No other HTML is ever kept.
"use strict";

const CACHE = `holdfast-shell-${"@VERSION@"}`;
const OFFLINE = `${"@ROOT@"}/offline`;
const KEPT = "@KEPT@";

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(KEPT)).then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("holdfast-shell-") && name !== CACHE) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.mode === "navigate" && request.method === "GET") {
    event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
  } else if (request.method === "GET" && KEPT.some((url) => request.url.endsWith(url) && url !== OFFLINE)) {
    event.respondWith(caches.match(request).then((found) => found || fetch(request)));
  }
});
