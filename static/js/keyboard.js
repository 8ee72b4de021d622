// Shortcuts for hands that stay on the keyboard. Everything they do has a link or a button; `?` lists them, and one box switches them off.
(() => {
  "use strict";
  const dialog = document.getElementById("keyboard");
  const find = document.getElementById("find");
  const all = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
  const on = () => localStorage.getItem("kv_keys") !== "off";
  const box = dialog?.querySelector("[data-kv-keys-on]");
  const open = () => {
    if (!dialog || dialog.open) return;
    if (box) box.checked = on(); // asked when it is shown: what a browser keeps is slow to come the first time
    dialog.showModal();
  };

  document.querySelectorAll("[data-kv-keys]").forEach((button) => { button.hidden = !dialog; });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-kv-keys]")) open();
    if (event.target === dialog) dialog.close();
  });
  box?.addEventListener("change", () => localStorage.setItem("kv_keys", box.checked ? "on" : "off"));

  // Lines of a list: the link of each is what has the focus.
  const line = (step) => {
    const links = all("main td .kv-subject, main th .kv-subject");
    const here = links.findIndex((link) => link === document.activeElement || link.closest("tr")?.contains(document.activeElement));
    const next = links[here < 0 ? (step > 0 ? 0 : links.length - 1) : here + step];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
    return Boolean(next);
  };
  const pick = () => document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]")?.click();
  const single = {
    "/": () => find && (find.focus(), find.select()),
    "?": open,
    j: () => line(1),
    k: () => line(-1),
    x: pick,
    n: () => all("main a[rel=next]")[0]?.click(),
  };

  let leader = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && find) {
      event.preventDefault();
      find.focus();
      find.select();
      return;
    }
    const typing = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || !on()) return;
    const after = leader > 0 && performance.now() - leader < 1500;
    leader = 0;
    if (after) {
      const target = document.querySelector(`.kv-nav [data-kv-go="${CSS.escape(event.key)}"]`);
      if (!target) return;
      event.preventDefault();
      location.assign(target.href);
    } else if (event.key === "g") {
      leader = performance.now();
    } else if (single[event.key]) {
      event.preventDefault();
      single[event.key]();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.closest("td, th")?.querySelector(".kv-subject")) {
      if (line(event.key === "ArrowDown" ? 1 : -1)) event.preventDefault();
    }
  });
})();
