(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const parts = ["summary", "subsystems", "breakers", "calls", "polls", "hour"];
  let heard = Date.now();
  let full = false;
  const say = (text) => {
    if ($("news").textContent !== text) $("news").textContent = text;
    document.body.classList.toggle("old", text !== "" && text !== "live");
  };
  const title = () => {
    const verdict = document.querySelector("[data-title]");
    if (verdict) document.title = verdict.dataset.title + " \u00b7 Status";
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
  const events = new EventSource("admin/events");
  for (const id of parts) events.addEventListener(id, put);
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
