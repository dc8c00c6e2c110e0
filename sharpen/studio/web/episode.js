"use strict";
// One group: the attempts at a question side by side, token by token, with what was said of them.
(function (S) {
  const { h } = S;
  const SHADES = [["", "Plain"], ["lp", "Log-probability"], ["en", "Entropy"], ["ce", "Self-certainty"]];
  const TOLD = {
    lp: "deeper colour: less likely under the untouched model (full at −3 nats)",
    en: "deeper colour: the model was less sure of the next token (full at 2 nats)",
    ce: "deeper colour: less self-certain, within this group",
  };

  S.group = async function (main, route) {
    const found = await S.source.group(route.run, route.step, route.task);
    if (!found.rows.length) {
      S.fill(main, h("p", { class: "note" }, "This group is not among the rollouts of this page."));
      return;
    }
    let shade = route.shade || "";
    const cards = h("div", { class: "cards" });
    const legend = h("p", { class: "sub shade" });
    const bar = h("div", { class: "filters" });
    const draw = () => {
      S.fill(bar, S.choice("Shade tokens by", SHADES, shade, (s) => {
        shade = s;
        S.go("group", { ...route, shade }, { quiet: true });
        draw();
      }), walk(found.walk, route));
      S.fill(legend, shade ? [h("span", { class: "ramp", "aria-hidden": true }), TOLD[shade]] : "Choose what to shade tokens by; arrow keys walk along the tokens of an answer.");
      const range = spread(found.rows);
      S.fill(cards, found.rows.map((row) => card(row, shade, range, route)));
    };
    const same = samePrompt(found.rows);
    S.fill(main,
      h("p", { class: "crumbs" }, h("a", { href: S.address("rollouts", { run: route.run, step: route.step }) }, "Rollouts"), " / ", S.visible(route.run), " / ", S.visible(route.step)),
      h("h2", { dir: "auto" }, S.visible(route.task)), h("p", { class: "sub" }, summary(found)),
      same !== null && h("section", { class: "prompt", "aria-label": "Question" }, h("h3", null, "Question"), h("pre", { dir: "auto" }, S.visible(same))),
      bar, legend, cards);
    draw();
    const chosen = route.key && [...cards.children].find((c) => c.dataset.key === route.key);
    if (chosen && found.rows.length > 1) {
      chosen.classList.add("chosen");
      if (chosen.offsetTop > window.innerHeight) chosen.scrollIntoView({ block: "center" });
    }
  };

  function summary(found) {
    const judged = found.rows.filter((r) => r.correct !== null && r.correct !== undefined);
    const right = judged.filter((r) => r.correct).length;
    const about = found.about || {};
    return [
      `${found.rows.length} ${found.rows.length === 1 ? "attempt" : "attempts"}`, judged.length && `${right} right`,
      about.temperature !== undefined && (about.temperature === 0 ? "greedy" : `T = ${about.temperature}`),
      about.policy && `policy ${String(about.policy).slice(0, 8)}`, found.more && `${S.number(found.more)} more are stored`,
    ].filter(Boolean).join(" · ");
  }
  // what was asked, where all attempts were asked the same in one turn
  const questionOf = (row) => {
    const at = row.spans.findIndex((s) => s.pieces);
    const before = at < 0 ? [] : row.spans.slice(0, at).filter((s) => s.role === "prompt");
    return row.spans.filter((s) => s.role === "prompt").length === 1 ? before.map((s) => s.text).join("") : null;
  };
  function samePrompt(rows) {
    const texts = new Set(rows.map(questionOf));
    return texts.size === 1 ? [...texts][0] || null : null;
  }
  function walk(near, route) {
    const to = (task) => S.go("group", { run: route.run, step: route.step, task, shade: route.shade });
    const button = (task, text) => h("button", { type: "button", disabled: task === undefined || task === null, onclick: () => to(task) }, text);
    return near.of > 1 && near.at >= 0 && h("span", { class: "walk" }, button(near.before, "← Group"),
      h("span", { class: "sub" }, `${S.number(near.at + 1)} of ${S.number(near.of)}`), button(near.after, "Group →"));
  }

  function spread(rows) {
    const all = rows.flatMap((r) => r.spans.flatMap((s) => s.ce || [])).filter((v) => v !== null);
    return all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
  }
  function depth(span, i, shade, range) {
    const v = span[shade] && span[shade][i];
    if (v === null || v === undefined) return 0;
    if (shade === "lp") return Math.min(1, Math.max(0, -v / 300)) ** 0.7;
    if (shade === "en") return Math.min(1, Math.max(0, v / 200)) ** 0.7;
    return (1 - (v - range[0]) / (range[1] - range[0] || 1)) ** 1.5;
  }

  function card(row, shade, range, route) {
    const readout = h("p", { class: "readout", "aria-live": "off" }, "\u00a0");
    const shared = questionOf(row) !== null;
    const spans = row.spans.filter((s) => !(shared && s.role === "prompt"));
    const body = h("div", { class: "spans" }, spans.length ? spans.map((s) => spanOf(s, shade, range, readout, spans)) : h("pre", { dir: "auto" }, S.visible(row.text)));
    return h("article", { class: `card ${S.outcome(row)}`, "data-key": row.key, "aria-label": `attempt ${row.sample}` },
      h("header", null, S.mark(row), h("span", { class: "which" }, `attempt ${row.sample}`),
        h("span", { class: "facts" }, row.score !== null && h("span", null, `score ${S.number(row.score)}`), h("span", null, `${row.n} tokens`), h("span", null, `ended by ${row.finish}`))),
      body, readout, verdicts(row),
      h("footer", null, h("code", { class: "key" }, S.visible(row.key)), S.kind === "studio" && replay(route.run, row)));
  }
  function spanOf(span, shade, range, readout, all) {
    const who = [span.seat !== undefined && `seat ${span.seat}`, span.turn !== undefined && `turn ${span.turn}`].filter(Boolean).join(", ");
    const named = all.length > 1 || who;
    const name = named && h("span", { class: `role ${span.role}` }, span.role, who && ` · ${who}`);
    if (!span.pieces) return h("div", { class: "span authored" }, name, h("pre", { dir: "auto" }, S.visible(span.text)));
    const tokens = span.pieces.map((piece, i) => h("span", {
      class: "token", tabindex: i === 0 ? 0 : -1, "data-i": i, vars: shade ? { "--depth": depth(span, i, shade, range).toFixed(3) } : null,
    }, S.visible(piece).replace(/\n/g, "⏎\n") || "\u200b"));
    const text = h("pre", { class: `tokens ${shade ? "shaded" : ""}`, role: "group", "aria-label": "sampled tokens" }, tokens);
    const tell = (el) => {
      const i = Number(el.dataset.i);
      const n = (name) => (span[name] && span[name][i] !== null ? (span[name][i] / 100).toFixed(2).replace("-", "−") : "–");
      const p = span.lp && span.lp[i] !== null ? ` (p ${Math.exp(span.lp[i] / 100).toPrecision(2)})` : "";
      S.fill(readout, h("b", null, JSON.stringify(S.visible(span.pieces[i])).slice(1, -1).replaceAll(" ", "␣")), `  log p ${n("lp")}${p}  entropy ${n("en")}  certainty ${n("ce")}`);
    };
    for (const kind of ["mouseover", "focusin"]) text.addEventListener(kind, (e) => e.target.dataset.i && tell(e.target));
    text.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      const i = Number(document.activeElement.dataset.i);
      if (!step || Number.isNaN(i)) return;
      e.preventDefault();
      const next = tokens[Math.max(0, Math.min(tokens.length - 1, i + step))];
      document.activeElement.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    return h("div", { class: "span sampled" }, name, text);
  }

  function verdicts(row) {
    if (!row.verdicts.length) return h("p", { class: "verdict sub" }, "not judged");
    return row.verdicts.map((v) => {
      const parts = Object.entries(v.parts).filter(([k, x]) => !(k === "correct" && Object.keys(v.parts).length === 1) && x !== null);
      return h("div", { class: "verdict" },
        h("span", { class: "by" }, S.visible(v.by || "verifier")), " ", v.status !== "ok" ? h("span", { class: "tag" }, v.status.replace("_", " ")) : v.correct ? "right" : "wrong",
        `, score ${S.number(v.score)}`, v.detail && h("span", { class: "why", dir: "auto" }, ": ", S.visible(v.detail)),
        parts.length > 0 && h("span", { class: "parts" }, parts.map(([k, x]) => h("span", null, `${S.visible(k)} ${S.number(x)}`))),
        v.steps.length > 0 && h("span", { class: "parts" }, `steps: ${v.steps.map(S.number).join(", ")}`));
    });
  }
  function replay(run, row) {
    const told = h("span", { class: "sub", role: "status" });
    const button = h("button", { type: "button", onclick: async () => {
      button.disabled = true;
      told.textContent = "sampling it again …";
      try {
        const found = await S.source.replay(run, row.key);
        told.textContent = found.equal ? "the same bytes again: tokens and log-probabilities are equal" : `not equal: ${found.difference}`;
      } catch (problem) {
        told.textContent = problem.message;
      }
      button.disabled = false;
    } }, "Replay");
    return [button, told];
  }
})(window.Sharpen);
