// The curve of a store, to look at closely: figures under the pointer, a part of it by dragging. Without this file the drawing stays.
(() => {
  "use strict";
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // Custom properties may hold light-dark(), which only a real property resolves.
  const colour = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const short = (lang) => new Intl.NumberFormat(lang, { notation: "compact", maximumFractionDigits: 1 });
  const drawn = new Map();

  const options = (box, width) => {
    const lang = document.documentElement.lang || "en";
    const words = box.dataset;
    const figures = new Intl.NumberFormat(lang);
    const compact = short(lang);
    const muted = colour("--kv-muted");
    const line = { stroke: colour("--kv-chart-grid"), width: 1 };
    const shown = (value) => (value === null || value === undefined ? "–" : figures.format(value));
    const zone = words.kvZone;
    const form = (parts) => {
      const made = new Intl.DateTimeFormat(lang, { ...parts, timeZone: zone, hourCycle: "h23" });
      return (at) => made.format(new Date(at * 1000));
    };
    const moment = form({ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
    const day = form({ day: "numeric", month: "short" });
    const time = form({ hour: "2-digit", minute: "2-digit" });
    const label = (at, step) => (step >= 86400 || time(at) === "00:00" ? day(at) : time(at));
    const font = `11px ${style("--tblr-font-sans-serif") || "sans-serif"}`;
    return {
      width,
      height: width < 500 ? 220 : 300,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone),
      scales: { y: { range: (_, low, high) => [0, Math.max(4, high * 1.05)] } },
      axes: [
        { stroke: muted, grid: line, ticks: { show: false }, font, space: 64, values: (_, ticks, axis, room, step) => ticks.map((at) => label(at, step)) },
        { stroke: muted, grid: line, ticks: { show: false }, font, size: 52, values: (_, ticks) => ticks.map((tick) => compact.format(tick)) },
      ],
      series: [
        { label: words.kvAt, value: (_, at) => (at === null ? "–" : moment(at)) },
        { label: words.kvKeys, stroke: colour("--kv-warn-mark"), fill: colour("--kv-warn-mark"), width: 1, alpha: 0.5, points: { show: false }, value: (_, keys) => shown(keys) },
        { label: words.kvLive, stroke: colour("--kv-chart"), fill: colour("--kv-chart-soft"), width: 1.5, points: { show: false }, value: (_, live) => shown(live) },
      ],
      cursor: { drag: { x: true, y: false }, points: { size: 6 } },
      legend: { live: true, markers: { width: 0 } },
    };
  };

  const draw = (box) => {
    const points = JSON.parse(box.dataset.kvPlot);
    if (points[0].length < 2) return;
    box.hidden = false;
    box.parentElement.classList.add("is-drawn");
    drawn.get(box)?.destroy();
    box.replaceChildren();
    drawn.set(box, new uPlot(options(box, box.clientWidth), points, box));
  };
  const drawAll = () => {
    for (const box of drawn.keys()) if (!box.isConnected) { drawn.get(box).destroy(); drawn.delete(box); }
    document.querySelectorAll("[data-kv-plot]").forEach(draw);
  };

  let waiting = 0;
  const later = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(drawAll); };
  drawAll();
  document.addEventListener("htmx:afterSwap", later);
  addEventListener("resize", later);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
  new MutationObserver(later).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
})();
