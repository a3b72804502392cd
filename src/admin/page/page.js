(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const parts = ["summary", "subsystems", "breakers", "calls", "polls", "queues", "streams", "processes", "hour"];
  let heard = Date.now();
  let full = false;
  const say = (text) => {
    if ($("news").textContent !== text) $("news").textContent = text;
    const old = text !== "" && text !== "live";
    document.body.classList.toggle("old", old);
    // Said once to whoever listens, and not with every second.
    const told = old ? "what you see is old" : "";
    if ($("old").textContent !== told) $("old").textContent = told;
  };
  const title = () => {
    const verdict = document.querySelector("[data-title]");
    if (verdict) document.title = verdict.dataset.title + " \u00b7 " + document.body.dataset.page;
  };
  const put = (event) => {
    const part = $(event.type);
    const marked = getSelection();
    // Whoever copies a line wants it to stand still.
    if (marked && !marked.isCollapsed && part.contains(marked.anchorNode)) return;
    const focused = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
    part.innerHTML = event.data;
    if (focused) part.querySelector(`[href="${focused}"]`)?.focus();
    title();
  };
  const events = new EventSource(location.pathname.endsWith("/") ? "events" : "admin/events");
  for (const id of parts) events.addEventListener(id, put);
  events.addEventListener("up", (event) => { $("up").textContent = event.data; });
  events.addEventListener("beat", (event) => {
    heard = Date.now();
    $("beat").textContent = event.data;
    say("live");
  });
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED || full) return;
    // Refused for good: this is one page too many. What it shows is fresh again every ten seconds.
    full = true;
    setTimeout(() => location.reload(), 10000);
  };
  setInterval(() => {
    const silent = Math.floor((Date.now() - heard) / 1000);
    if (silent > 3) say(`no news for ${silent} s: what you see is old`);
  }, 1000);
  title();
})();
