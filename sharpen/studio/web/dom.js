"use strict";
// Elements and numbers. All text enters the page as text nodes; nothing here or elsewhere parses markup.
window.Sharpen = {};
(function (S) {
  S.h = function (tag, props, ...children) {
    const el = document.createElement(tag);
    for (const [name, value] of Object.entries(props || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "class") el.className = value;
      else if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
      else if (name === "vars") for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
      else if (name === "value") el.value = value;
      else if (name === "checked" || name === "selected") el[name] = true;
      else el.setAttribute(name, value === true ? "" : String(value));
    }
    add(el, children);
    return el;
  };
  function add(el, children) {
    for (const child of children) {
      if (child === null || child === undefined || child === false) continue;
      if (Array.isArray(child)) add(el, child);
      else el.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  }
  S.fill = function (el, ...children) {
    el.replaceChildren();
    add(el, children);
    return el;
  };

  // text that a model or a data set wrote: signs that steer a reader or cannot be seen become visible names
  const hidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu;
  S.visible = function (text) {
    return String(text === null || text === undefined ? "" : text).replace(hidden, (c) => {
      if (c === "\n" || c === "\t") return c;
      if (c === "\r") return "␍";
      return c === "\u200d" ? c : `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
    });
  };
  S.line = (text, most) => {
    const all = S.visible(text).trim().replace(/\n+/g, " ⏎ ").replace(/\s+/g, " ");
    return all.length > most ? `${all.slice(0, most - 1)}…` : all;
  };

  // numbers
  S.percent = (v, digits = 1) => (v === null || v === undefined ? "–" : `${(100 * v).toFixed(digits)} %`);
  S.points = (v) => (v === null || v === undefined ? "–" : `${v < 0 ? "−" : "+"}${Math.abs(100 * v).toFixed(1)}`);
  S.number = (v) => {
    if (v === null || v === undefined) return "–";
    if (typeof v === "boolean") return v ? "yes" : "no";
    if (typeof v !== "number") return S.visible(v);
    if (Number.isInteger(v)) return v.toLocaleString("en-US").replace("-", "−");
    const size = Math.abs(v);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return v.toExponential(2).replace("-", "−");
    return String(Number(v.toPrecision(4))).replace("-", "−");
  };
  S.measure = (v, share) => (share ? S.percent(v) : S.number(v));
  S.change = (v, share) => (share ? S.points(v) : (v > 0 ? "+" : "") + S.number(v));
  S.interval = (low, high, share, signed) => {
    if (low === null || low === undefined || high === null || high === undefined) return "";
    const one = (v) => (share ? (signed ? S.points(v) : (100 * v).toFixed(1)) : S.number(v));
    return `${one(low)} to ${one(high)}`;
  };
  S.duration = (s) => {
    if (s === null || s === undefined) return "–";
    if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
    const m = Math.floor(s / 60);
    if (m < 60) return `${m} min ${String(Math.round(s % 60)).padStart(2, "0")} s`;
    return `${Math.floor(m / 60)} h ${String(m % 60).padStart(2, "0")} min`;
  };
  S.compact = (v) => (v >= 1e6 ? `${(v / 1e6).toFixed(1)} M` : v >= 1e4 ? `${Math.round(v / 1e3)} k` : S.number(v));

  // how judging went
  S.UNKNOWN = ["timeout", "crash", "bad_gold", "abstain"];
  S.outcome = (row) => {
    if (row.correct === null || row.correct === undefined) return "unjudged";
    if (S.UNKNOWN.includes(row.status)) return "unknown";
    return row.correct ? "right" : "wrong";
  };
  const SIGNS = { right: "✓", wrong: "✗", unknown: "?", unjudged: "·" };
  S.mark = (row) => {
    const found = S.outcome(row);
    const told = row.status && row.status !== "ok" ? `${found}: ${row.status.replace("_", " ")}` : found;
    return S.h("span", { class: `mark ${found}`, title: told },
      S.h("span", { "aria-hidden": true }, SIGNS[found]), S.h("span", { class: "unseen" }, told));
  };

  S.say = (text) => {
    document.getElementById("said").textContent = text;
  };
  S.table = function (heads, rows, props) {
    return S.h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": (props && props.label) || "table" },
      S.h("table", { class: (props && props.class) || "" },
        S.h("thead", null, S.h("tr", null, heads.map((head) => S.h("th", { scope: "col", class: isNumber(head) }, head.text || head)))),
        S.h("tbody", null, rows.map((row) => S.h("tr", null, row.map((cell, i) => S.h("td", { class: isNumber(heads[i]) }, cell)))))));
  };
  const isNumber = (head) => (head && head.number ? "number" : null);

  // a set of buttons of which one holds
  S.choice = function (label, options, chosen, pick) {
    const group = S.h("div", { class: "choice", role: "radiogroup", "aria-label": label });
    const buttons = options.map(([value, text]) =>
      S.h("button", {
        type: "button", role: "radio", "aria-checked": String(value === chosen), tabindex: value === chosen ? 0 : -1,
        "data-value": value,
        onclick: () => pick(value),
        onkeydown: (e) => {
          const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
          if (!step) return;
          e.preventDefault();
          const at = (options.findIndex((o) => o[0] === value) + step + options.length) % options.length;
          pick(options[at][0]);
          const next = document.querySelector(`[role=radiogroup][aria-label="${CSS.escape(label)}"] [aria-checked=true]`);
          if (next) next.focus();
        },
      }, text));
    group.append(...buttons);
    return group;
  };
  S.picker = (label, options, chosen, pick) =>
    S.h("label", { class: "picker" }, S.h("span", null, label),
      S.h("select", { onchange: (e) => pick(e.target.value) },
        options.map(([value, text]) => S.h("option", { value, selected: String(value) === String(chosen) }, text))));

  // rows of a list: one tab stop, arrows move, Enter opens
  S.roving = function (list, open) {
    const rows = () => [...list.querySelectorAll("[data-row]")];
    list.addEventListener("keydown", (e) => {
      const all = rows();
      const at = all.indexOf(document.activeElement);
      if (at < 0) return;
      let to = at;
      if (e.key === "ArrowDown" || e.key === "j") to = Math.min(at + 1, all.length - 1);
      else if (e.key === "ArrowUp" || e.key === "k") to = Math.max(at - 1, 0);
      else if (e.key === "Home") to = 0;
      else if (e.key === "End") to = all.length - 1;
      else if (e.key === "Enter" && open) {
        e.preventDefault();
        open(all[at]);
        return;
      } else return;
      e.preventDefault();
      all.forEach((row, i) => row.setAttribute("tabindex", i === to ? 0 : -1));
      all[to].focus();
    });
  };
})(window.Sharpen);
