// Comfort only: every page works without this file.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Appearance: the cookie decides on the server, here only without waiting for it.
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-kv-theme]");
    const theme = event.submitter?.value;
    if (!form || !theme) return;
    event.preventDefault();
    const stay = theme === "auto" ? "max-age=0" : "max-age=31536000";
    document.cookie = `kv_theme=${theme}; path=/; ${stay}; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
    if (theme === "auto") root.removeAttribute("data-bs-theme");
    else root.setAttribute("data-bs-theme", theme);
    all("button", form).forEach((button) => button.setAttribute("aria-pressed", String(button.value === theme)));
    form.closest("details").open = false;
  });

  // Menus close on a click elsewhere and on Escape; focus goes back to where it came from.
  const closeMenus = (except) => all("details.kv-menu[open]").forEach((menu) => { if (menu !== except) menu.open = false; });
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.kv-menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = event.target.closest("details.kv-menu[open]");
      if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
      closeMenus();
    }
  });

  // Lists: shift selects a range, the head selects the page, the bar says how many.
  let last = null;
  const grouped = (number) => number < 1000 ? String(number) : number.toLocaleString(root.lang); // the first one of those takes long
  const picks = (list) => all("input[data-kv-pick]", list);
  const tell = (list) => {
    const boxes = picks(list);
    const picked = boxes.filter((box) => box.checked);
    boxes.forEach((box) => box.closest("tr")?.classList.toggle("is-picked", box.checked));
    all("[data-kv-picked]", list).forEach((out) => { out.textContent = out.dataset.kvPicked.replace("#", grouped(picked.length)); });
    const head = list.querySelector("input[data-kv-pick-all]");
    if (head) {
      head.hidden = false;
      head.checked = picked.length > 0 && picked.length === boxes.length;
      head.indeterminate = picked.length > 0 && picked.length < boxes.length;
    }
  };
  document.addEventListener("click", (event) => {
    const box = event.target.closest("input[data-kv-pick]");
    if (!box) return;
    const list = box.closest("[data-kv-list]");
    const boxes = picks(list);
    if (event.shiftKey && last && boxes.includes(last)) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      boxes.slice(from, to + 1).forEach((other) => { other.checked = box.checked; });
    }
    last = box;
    tell(list);
  });
  document.addEventListener("change", (event) => {
    const head = event.target.closest("input[data-kv-pick-all]");
    const list = event.target.closest("[data-kv-list]");
    if (head) picks(list).forEach((box) => { box.checked = head.checked; });
    if (list) tell(list);
  });
  document.addEventListener("click", (event) => {
    const clear = event.target.closest("[data-kv-pick-none]");
    if (!clear) return;
    const list = clear.closest("[data-kv-list]");
    picks(list).forEach((box) => { box.checked = false; });
    tell(list);
    picks(list)[0]?.focus();
  });

  // Times: the countdown of a key and the ages on a page that stays open.
  const said = document.body.dataset;
  const signs = said.kvUnits.split(" ");
  const units = [86400, 3600, 60, 1].map((length, index) => [length, signs[index]]);
  const span = (seconds) => {
    if (seconds >= 8640000) return null;
    const index = units.findIndex(([length]) => seconds >= length);
    if (index < 0) return `0 ${signs[3]}`;
    const [length, unit] = units[index];
    const [smaller, smallUnit] = units[index + 1] ?? [1, ""];
    const tail = Math.floor((seconds % length) / smaller);
    const head = `${Math.floor(seconds / length)} ${unit}`;
    return tail && length > 60 ? `${head} ${tail} ${smallUnit}` : head;
  };
  const two = (number) => String(number).padStart(2, "0");
  const tick = () => {
    if (document.hidden) return;
    const now = Date.now() / 1000;
    all("[data-kv-until]").forEach((timer) => {
      const left = Math.max(0, Math.round(timer.dataset.kvUntil - now));
      const days = Math.floor(left / 86400);
      const clock = `${two(Math.floor(left / 3600) % 24)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
      timer.textContent = days ? `${grouped(days)} ${signs[0]} ${clock}` : clock;
    });
    all("[data-kv-ago]").forEach((time) => {
      const delta = time.dataset.kvAgo - now;
      const words = span(Math.floor(Math.abs(delta)));
      if (words && Math.abs(delta) >= 1) time.textContent = (delta > 0 ? said.kvIn : said.kvPast).replace("#", words);
    });
  };
  setInterval(tick, 1000);

  // What had the focus before a part of the page was replaced has it again, or else the part itself.
  const mark = (element) => [element.tagName, element.id, element.name, element.value && element.type !== "text" ? element.value : "", element.getAttribute("href"), element.getAttribute("aria-label"), element.tagName === "A" || element.tagName === "BUTTON" || element.tagName === "SUMMARY" ? element.textContent.trim() : ""].join("|");
  const focusable = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
  let held = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    const active = document.activeElement;
    held = target?.contains(active) && active !== document.body ? { id: target.id, mark: mark(active), at: active.selectionStart } : null;
    if (held) held.place = all(focusable, target).filter((element) => mark(element) === held.mark).indexOf(active);
  });
  document.addEventListener("htmx:afterSettle", () => {
    const lost = !document.activeElement || document.activeElement === document.body;
    const part = held && lost ? document.getElementById(held.id) : null;
    if (part) {
      const same = all(focusable, part).filter((element) => mark(element) === held.mark);
      const next = same[held.place] ?? same[0] ?? part;
      if (next === part) part.tabIndex = -1;
      next.focus({ preventScroll: true });
    }
    held = null;
  });

  // Polling rests while nobody looks.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.hasAttribute("data-kv-poll")) event.preventDefault();
  });
  // A request that never came back says so.
  document.addEventListener("htmx:sendError", () => {
    const notice = document.getElementById("notice");
    if (!notice || notice.querySelector("[data-kv-lost]")) return;
    const line = document.createElement("p");
    line.className = "kv-note is-bad";
    line.dataset.kvLost = "";
    line.textContent = said.kvLost;
    notice.append(line);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.xhr?.status) all("#notice [data-kv-lost]").forEach((line) => line.remove());
  });
  // A session that has ended answers with the sign-in page: ask for the whole page again instead of drawing that into a corner.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const where = event.detail.xhr?.responseURL;
    if (where && new URL(where).pathname.endsWith("/sign-in/")) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });

  // Forms that show a preview send themselves when a choice changes; the button for it is for pages without scripts.
  const enhance = (within) => {
    if (within.matches?.("[data-kv-list]")) tell(within);
    all("[data-kv-list]", within).forEach(tell);
    all("[data-kv-noscript]", within).forEach((button) => { button.hidden = true; });
    all("[data-kv-copy]", within).forEach((button) => { button.hidden = !navigator.clipboard; });
  };
  document.addEventListener("htmx:load", (event) => { if (event.detail.elt !== document.body) enhance(event.detail.elt); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-kv-copy]");
    if (!button) return;
    navigator.clipboard.writeText(button.dataset.kvCopy).then(() => {
      const label = button.querySelector("[data-kv-copied]");
      if (label) label.textContent = said.kvDone;
    });
  });
  enhance(document); // this script is deferred: the document is there
})();
