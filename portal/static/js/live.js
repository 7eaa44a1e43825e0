// Nothing needs this file: the page is the same after a reload. It asks whether the page says something else by now and
// puts in what changed, where nobody is writing. It asks less often while nothing happens, and not while nobody looks.
"use strict";
(() => {
  const main = document.getElementById("main"), said = document.getElementById("news");
  const SOONEST = 3000, LATEST = 60000;
  let wait = SOONEST, tag = "", timer = 0;
  // What a part says: tokens against forgery are new in every answer, and what somebody opened is theirs.
  const words = (part) => {
    const copy = part.cloneNode(true);
    copy.querySelectorAll("[name=csrfmiddlewaretoken]").forEach((field) => field.remove());
    copy.querySelectorAll("details[open]").forEach((each) => each.removeAttribute("open"));
    return copy.outerHTML;
  };
  const written = (field) => field.type === "file" ? field.value : field.value !== field.defaultValue;
  const isWriting = () => [...main.querySelectorAll("textarea, input:not([type=hidden])")].some(written);
  const show = (fresh) => {
    const old = new Map([...main.children].map((part) => [words(part), part]));
    const parts = [...fresh.children].map((part) => old.get(words(part)) ?? document.adoptNode(part));
    if (parts.length === main.childElementCount && parts.every((part) => part.parentNode === main)) return;
    const held = main.contains(document.activeElement) ? document.activeElement : null;
    if (isWriting()) { said.textContent = said.dataset.writing; return; }
    main.replaceChildren(...parts);
    if (held) (held.isConnected ? held : main).focus({ preventScroll: true });
    said.textContent = said.dataset.changed;
  };
  const look = async () => {
    const answer = await fetch(location.href, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (answer.status === 304) return true;
    if (!answer.ok || answer.redirected) return false; // signed out, or gone: the next click says it
    if (tag) wait = SOONEST;
    tag = answer.headers.get("ETag") ?? "";
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    show(page.getElementById("main"));
    return Boolean(page.getElementById("news")); // a finished request has nothing more to tell
  };
  const next = () => { timer = document.hidden ? 0 : setTimeout(run, wait); };
  const run = async () => {
    wait = Math.min(LATEST, wait * 1.5);
    let goes = true;
    try { goes = await look(); } catch { /* no connection now: asked again later */ }
    if (goes) next();
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { clearTimeout(timer); timer = 0; } else if (!timer) { wait = SOONEST; run(); }
  });
  next();
})();
