"use strict";
// Charts: Observable Plot's SVG in the page's own colours, each with a table for those who do not see it.
(function (S) {
  const { h } = S;
  const HEIGHT = 168;
  S.COLOURS = 8;
  S.colour = (i) => `var(--series-${(i % S.COLOURS) + 1})`;
  const DASHES = [null, "5 3", "2 3", "8 3 2 3"];

  // drawn when first seen, and again when its width changes
  const seen = new IntersectionObserver((entries) => {
    for (const e of entries) if (e.isIntersecting) draw(e.target);
  }, { rootMargin: "300px" });
  const sized = new ResizeObserver((entries) => {
    for (const e of entries) {
      const box = e.target;
      if (box.drawn && Math.abs(box.drawn - box.clientWidth) > 4) draw(box);
    }
  });
  // paper has no scrolling
  window.addEventListener("beforeprint", () => document.querySelectorAll(".plot").forEach((box) => box.make && draw(box)));
  function draw(box) {
    const width = box.clientWidth;
    if (!width || box.drawn === width) return;
    box.drawn = width;
    const svg = box.make(width);
    box.replaceChildren(svg);
  }

  function figure(spec, make) {
    const box = h("div", { class: "plot", vars: { "min-height": `${spec.height || HEIGHT}px` } });
    box.make = (width) => {
      const svg = make(width);
      // Plot names its marks by aria-label, which groups without a role may not have
      for (const mark of svg.querySelectorAll("[aria-label]")) {
        mark.dataset.mark = mark.getAttribute("aria-label");
        mark.removeAttribute("aria-label");
      }
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", `${spec.title}${spec.unit ? `, ${spec.unit}` : ""}. The table below holds its numbers.`);
      return svg;
    };
    seen.observe(box);
    sized.observe(box);
    const details = h("details", { class: "numbers" }, h("summary", null, "Table", h("span", { class: "unseen" }, ` of ${spec.title}`)));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(spec.table());
    });
    return h("figure", { class: `chart ${spec.class || ""}`, "data-chart": spec.id },
      h("figcaption", null, h("span", { class: "name" }, spec.title), spec.unit && h("span", { class: "unit" }, spec.unit),
        spec.about && h("span", { class: "about" }, spec.about)),
      spec.legend && spec.legend.length > 1 && h("div", { class: "legend" }, spec.legend.map(legendItem)),
      box, details);
  }
  const legendItem = (item) => h("span", null,
    h("span", { class: `swatch ${item.dash ? "dashed" : ""}`, vars: { "--of": item.colour }, "aria-hidden": true }), item.name);

  // lines over rounds. lines: [{name, colour, dash, strong, points: [[x, y, low, high]]}]
  S.lineChart = function (spec) {
    const rows = spec.lines.flatMap((line) => line.points.map(([x, y, low, high]) => ({ x, y, low, high, line })));
    const scale = spec.share ? 100 : 1;
    const told = (r) => `${r.line.name}\n${spec.x} ${r.x}: ${S.measure(r.y, spec.share)}` +
      (r.low === null || r.low === undefined ? "" : `\n95 %: ${S.interval(r.low, r.high, spec.share)}`);
    const make = (width) => {
      const label = labels(rows.flatMap((r) => [r.y, r.low, r.high].map((v) => (v === null || v === undefined ? v : v * scale))));
      const wide = rows.length ? Math.max(...rows.map((r) => label(r.y * scale).length)) : 3;
      return window.Plot.plot({
        width, height: HEIGHT, marginLeft: Math.max(34, 9 + 6.6 * wide), marginBottom: 32, marginTop: 12, marginRight: 12,
        x: { label: spec.x, ...ticks(rows, width), labelAnchor: "right", inset: 6, tickSize: 4 },
        y: { label: null, grid: true, ticks: 4, nice: true, tickFormat: label, tickSize: 0, tickPadding: 8 },
        marks: [
          ...spec.lines.flatMap((line) => {
            const own = rows.filter((r) => r.line === line && r.y !== null);
            const band = own.filter((r) => r.low !== null && r.low !== undefined);
            const style = { stroke: line.colour, strokeWidth: line.strong ? 2.5 : 1.5, strokeOpacity: line.faint ? 0.45 : 1 };
            return [
              band.length > 1 && !line.faint && window.Plot.areaY(band, { x: "x", y1: (r) => r.low * scale, y2: (r) => r.high * scale, fill: line.colour, fillOpacity: 0.13 }),
              band.length === 1 && !line.faint && window.Plot.ruleX(band, { x: "x", y1: (r) => r.low * scale, y2: (r) => r.high * scale, ...style }),
              window.Plot.lineY(own, { x: "x", y: (r) => r.y * scale, ...style, strokeDasharray: line.dash }),
              own.length <= 40 && !line.faint && window.Plot.dot(own, { x: "x", y: (r) => r.y * scale, fill: line.colour, r: 2.5 }),
            ];
          }),
          window.Plot.tip(rows.filter((r) => r.y !== null), window.Plot.pointer({ x: "x", y: (r) => r.y * scale, title: told, maxRadius: 60 })),
        ].filter(Boolean),
      });
    };
    const table = () => S.table([spec.x, "series", { text: spec.unit || "value", number: true }, { text: "95 % interval", number: true }],
      rows.map((r) => [r.x, r.line.name, S.measure(r.y, spec.share), S.interval(r.low, r.high, spec.share)]), { label: spec.title });
    return figure({ ...spec, table, legend: spec.legend }, make);
  };
  // as many digits as tell the ticks of this range apart
  function labels(values) {
    const known = values.filter((v) => v !== null && v !== undefined && Number.isFinite(v));
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const top = Math.max(Math.abs(low), Math.abs(high));
    const step = (high - low || top || 1) / 5;
    const tiny = top !== 0 && (top < 1e-3 || top >= 1e6);
    const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step))));
    return (v) => (tiny ? v.toExponential(1) : String(Number(v.toFixed(digits)))).replace("-", "−");
  }
  // rounds are whole numbers
  function ticks(rows, width) {
    const xs = [...new Set(rows.map((r) => r.x))].sort((a, b) => a - b);
    const most = Math.max(2, Math.floor(width / 45));
    const step = Math.ceil(xs.length / most);
    return { ticks: xs.length > 60 ? 5 : xs.filter((_, i) => i % step === 0), tickFormat: (v) => (Number.isInteger(v) ? String(v) : "") };
  }

  // the curve of one measure over all shown runs
  S.curve = function (chart, parts, extra) {
    const lines = [];
    const legend = [];
    for (const part of parts) {
      part.chart.series.forEach((series, k) => {
        lines.push({
          name: [part.run, series.label].filter(Boolean).join(" · "), colour: part.chart.series.length > 1 && parts.length === 1 ? S.colour(k) : part.colour,
          dash: parts.length > 1 ? DASHES[k % DASHES.length] : null, points: series.points, faint: Boolean(extra),
        });
        if (part.chart.series.length > 1 && part === parts[0]) legend.push({ name: series.label, colour: parts.length === 1 ? S.colour(k) : "var(--muted)", dash: parts.length > 1 && k > 0 });
      });
    }
    if (extra) lines.push({ name: "all seeds", colour: "var(--ink)", strong: true, points: extra });
    const unit = chart.unit === "percent" ? "%" : chart.unit;
    return S.lineChart({ ...chart, unit, lines, legend: extra ? [{ name: "a seed", colour: parts[0] ? parts[0].colour : "var(--muted)" }, { name: "all seeds", colour: "var(--ink)" }] : legend });
  };

  // shares that fill a bar. bars: [{x, kind, value}]
  S.stackChart = function (spec) {
    const kinds = [...new Set(spec.bars.map((b) => b.kind))].sort((a, b) => spec.order.indexOf(a) - spec.order.indexOf(b));
    const colour = (kind) => `var(--${spec.colours[kind] || "series-8"})`;
    const scale = spec.share ? 100 : 1;
    const bars = spec.bars.filter((b) => b.value > 0);
    const told = (b) => `${b.x}\n${b.kind}: ${spec.share ? S.percent(b.value) : S.duration(b.value)}`;
    const across = spec.across;
    const height = across ? Math.max(64, 30 * new Set(bars.map((b) => b.x)).size + 44) : HEIGHT;
    const make = (width) => window.Plot.plot({
      width, height, marginLeft: across ? Math.min(width * 0.34, 7.2 * Math.max(...bars.map((b) => String(b.x).length)) + 16) : 38,
      marginTop: 10, marginBottom: 32, marginRight: 12,
      [across ? "x" : "y"]: { label: spec.axis || null, grid: true, ticks: 4, labelAnchor: across ? "right" : "top" },
      [across ? "y" : "x"]: { label: across ? null : spec.x, padding: 0.2, type: "band", tickSize: 0 },
      marks: [
        (across ? window.Plot.barX : window.Plot.barY)(bars, {
          [across ? "y" : "x"]: "x", [across ? "x" : "y"]: (b) => b.value * scale, fill: (b) => colour(b.kind), order: null, insetRight: across ? 1 : 0, insetTop: across ? 0 : 1,
          title: told, tip: true,
        }),
      ],
    });
    const table = () => S.table([spec.x, "kind", { text: spec.share ? "%" : "seconds", number: true }],
      spec.bars.map((b) => [b.x, b.kind, spec.share ? S.percent(b.value) : b.value.toFixed(1)]), { label: spec.title });
    return figure({ ...spec, table, height, legend: kinds.map((k) => ({ name: k.replace("_", " "), colour: colour(k) })) }, make);
  };

  // a search over temperature and threshold, round by round
  S.searchChart = function (spec) {
    const cells = spec.searches.flatMap((s) => s.cells.map(([t, tau, v]) => ({ round: s.round, t, tau, v, chosen: t === s.temperature && tau === s.threshold })));
    const top = Math.max(...cells.map((c) => c.v), 1e-9);
    const make = (width) => window.Plot.plot({
      width, height: 210, marginLeft: 46, marginBottom: 34, marginTop: 26, padding: 0.06,
      fx: { label: "round", padding: 0.08 }, x: { label: "temperature", type: "band" }, y: { label: "threshold", type: "band", reverse: true, ticks: 5 },
      marks: [
        window.Plot.cell(cells, { fx: "round", x: "t", y: "tau", fill: "var(--series-1)", fillOpacity: (c) => c.v / top,
          title: (c) => `round ${c.round}\ntemperature ${c.t}, threshold ${c.tau}\nbalance ${S.number(c.v)}${c.chosen ? "\nchosen" : ""}`, tip: true }),
        window.Plot.cell(cells.filter((c) => c.chosen), { fx: "round", x: "t", y: "tau", fill: "none", stroke: "var(--ink)", strokeWidth: 2 }),
      ],
      opacity: { type: "identity" },
    });
    const table = () => S.table(["round", "temperature", "threshold", { text: "balance", number: true }, "chosen"],
      cells.map((c) => [c.round, c.t, c.tau, S.number(c.v), c.chosen ? "yes" : ""]), { label: spec.title });
    return figure({ ...spec, table, height: 210 }, make);
  };

  // a line of a few pixels for a list
  S.spark = function (values) {
    const known = values.filter((v) => v !== null);
    if (known.length < 2) return h("span", { class: "spark" });
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const at = (v, i) => `${(2 + (i * 60) / (known.length - 1)).toFixed(1)},${(16 - (13 * (v - low)) / (high - low || 1)).toFixed(1)}`;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [k, v] of Object.entries({ class: "spark", width: 64, height: 18, "aria-hidden": "true" })) svg.setAttribute(k, v);
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", known.map(at).join(" "));
    svg.append(line);
    return svg;
  };
})(window.Sharpen);
