// Nothing needs this file: every page works without it. It adds the desk's shortcut keys and says that it did.
"use strict";
(() => {
  document.documentElement.classList.add("js");
  const rows = () => [...document.querySelectorAll("[data-row]")];
  let at = -1;
  const typing = (target) => target.closest("input:not([type=radio],[type=checkbox]), textarea, select");
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const form = event.target.closest("form[data-keys]");
      if (form) { event.preventDefault(); form.requestSubmit(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "j" || event.key === "k") {
      const all = rows();
      if (!all.length) return;
      all[at]?.classList.remove("sel");
      at = Math.min(all.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)));
      all[at].classList.add("sel");
      all[at].querySelector("a")?.focus();
      event.preventDefault();
      return;
    }
    const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.matches("input[type=radio], a, button")) target.click(); else target.focus();
  });
})();
