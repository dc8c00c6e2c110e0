"use strict";
// What runs came to: headline, warnings, curves, verdict statuses, time, settings.
(function (S) {
  const { h } = S;
  S.hidden = new Set(); // runs that the reader has put aside

  S.overview = async function (main, route) {
    const data = await S.source.overviews(route.runs);
    const colours = new Map(data.runs.map((run, i) => [run.id, S.colour(i)]));
    const body = h("div");
    const redraw = () => S.fill(body, sections(data, colours));
    const head = h("div");
    S.fill(main, head, chips(data.runs, colours, redraw), body);
    S.fill(head, headline(data));
    redraw();
    return data;
  };

  // which run is which, and whether it is shown
  function chips(runs, colours, redraw) {
    if (runs.length < 2) return null;
    return h("div", { class: "chips", role: "group", "aria-label": "Runs shown" }, runs.map((run) =>
      h("button", {
        type: "button", class: "chip", "aria-pressed": String(!S.hidden.has(run.id)), vars: { "--of": colours.get(run.id) },
        onclick: (e) => {
          if (S.hidden.has(run.id)) S.hidden.delete(run.id);
          else S.hidden.add(run.id);
          e.currentTarget.setAttribute("aria-pressed", String(!S.hidden.has(run.id)));
          redraw();
        },
      }, h("span", { class: "swatch", "aria-hidden": true }), S.visible(run.id), run.control && h("span", { class: "tag" }, "control"))));
  }

  // headline ---------------------------------------------------------------------------------
  function headline(data) {
    const blocks = [];
    for (const group of data.groups) blocks.push(groupHead(group, data.runs.filter((r) => group.runs.includes(r.id))));
    const grouped = new Set(data.groups.flatMap((g) => g.runs));
    const alone = data.runs.filter((r) => !grouped.has(r.id));
    for (const run of alone) blocks.push(runHead(run));
    return [
      h("div", { class: `heads ${blocks.length > 2 ? "many" : ""}` }, blocks),
      data.runs.length > 1 && perRun(data.runs, grouped),
      data.pairs.length > 0 && pairs(data.pairs),
      strategies(data.runs),
      warnings(data.runs),
    ];
  }
  const SHOWN = ["accuracy_greedy", "accuracy_t1"];
  const NAMES = { accuracy_greedy: "Greedy accuracy", accuracy_t1: "Accuracy at T = 1" };
  const mainGains = (run) => run.gains.filter((g) => g.name === "held_out" && SHOWN.includes(g.measure));

  function groupHead(group, runs) {
    const first = runs[0] || {};
    return h("section", { class: "head" },
      h("h2", null, S.visible(group.id)),
      h("p", { class: "sub" }, `${first.title || group.recipe} · ${runs.length} of ${group.planned} seeds`, stateOf(runs)),
      first.control && h("p", { class: "note control" }, S.visible(first.control)),
      gains(group.gains.filter((g) => SHOWN.includes(g.measure)), "95 % over seeds and questions"),
      cost(total(runs.map((r) => r.cost))));
  }
  function runHead(run) {
    return h("section", { class: "head" },
      h("h2", null, S.visible(run.id)),
      h("p", { class: "sub" }, `${run.title || run.recipe} · seed ${run.seed}`, stateOf([run])),
      run.control && h("p", { class: "note control" }, S.visible(run.control)),
      contest(run), answered(run),
      cost(run.cost));
  }
  const stateOf = (runs) => {
    const live = runs.filter((r) => r.state === "running");
    const state = live.length ? "running" : runs.every((r) => r.state === "finished") ? "finished" : "stopped";
    const run = live[0] || runs[0];
    const where = run && run.rounds && state !== "finished" ? ` · round ${run.round} of ${run.rounds}` : "";
    return h("span", { class: `state ${state}` }, state + where);
  };
  function gains(found, how) {
    if (!found.length) return null;
    return h("div", { class: "gains" }, found.map((g) => {
      const sure = g.low !== null && g.low !== undefined && (g.low > 0 || g.high < 0);
      const way = sure ? (g.change > 0 ? "up" : "down") : "";
      return h("div", { class: "gain" },
        h("div", { class: "what" }, NAMES[g.measure] || g.label),
        h("div", { class: "big" }, S.measure(g.base, g.share), h("span", { class: "arrow", "aria-label": "to" }, "→"), S.measure(g.final, g.share)),
        h("div", { class: `delta ${way}` }, `${S.change(g.change, g.share)}${g.share ? " points" : ""}`),
        h("div", { class: "how" }, g.low === null || g.low === undefined ? "no interval" : `${S.interval(g.low, g.high, g.share, true)} · ${how}`),
        !sure && g.low !== null && g.low !== undefined && h("div", { class: "how" }, "the interval holds 0"));
    }));
  }
  // a run that plays is for its games; the questions that it answers beside them tell whether they help elsewhere
  function answered(run) {
    const found = gains(mainGains(run), "95 % over questions");
    if (!contested(run).length) return found || h("p", { class: "sub" }, "Nothing was measured twice, so there is no gain to tell.");
    return found && [h("h3", { class: "beside" }, "On questions beside the games"), found];
  }
  const PLAYED = ["nash_conv_average", "nash_conv"];
  function contested(run) {
    const rank = (m) => (PLAYED.includes(m) ? PLAYED.indexOf(m) : m.endsWith("/won") ? PLAYED.length : -1);
    const told = run.charts.filter((c) => c.section === "contest" && rank(c.measure) >= 0).sort((a, b) => rank(a.measure) - rank(b.measure));
    return told.map((c) => ({ chart: c, points: c.series[0].points })).filter((t) => t.points.length > 1);
  }
  function contest(run) {
    const found = contested(run);
    if (!found.length) return null;
    return h("div", { class: "gains" }, found.slice(0, 4).map(({ chart, points }) => {
      const [a, b] = [points[0], points[points.length - 1]];
      return h("div", { class: "gain" },
        h("div", { class: "what" }, chart.measure.endsWith("/won") ? `Won against ${chart.measure.split("/")[0]}` : chart.title),
        h("div", { class: "big" }, S.measure(a[1], chart.share), h("span", { class: "arrow", "aria-label": "to" }, "→"), S.measure(b[1], chart.share)),
        h("div", { class: "how" }, b[2] === null ? "" : `last: ${S.interval(b[2], b[3], chart.share)}, 95 %`));
    }));
  }
  const COSTS = [["samples", "attempts"], ["plays", "games"], ["calls", "calls"], ["tokens", "tokens"], ["updates", "updates"],
    ["samples_held_out", "held-out attempts"], ["samples_search", "attempts in searches"]];
  function cost(spent) {
    const items = COSTS.filter(([k]) => spent[k]).map(([k, name]) => [name, S.number(spent[k])]);
    items.push(["time", S.duration(spent.seconds)]);
    return h("dl", { class: "cost" }, items.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
  }
  const total = (costs) => costs.reduce((sum, c) => {
    for (const [k, v] of Object.entries(c)) sum[k] = (sum[k] || 0) + v;
    return sum;
  }, {});

  function perRun(runs) {
    const measures = SHOWN.filter((m) => runs.some((r) => mainGains(r).some((g) => g.measure === m)));
    const one = (run, m) => {
      const g = mainGains(run).find((x) => x.measure === m);
      return g ? [S.measure(g.base, g.share), S.measure(g.final, g.share), S.change(g.change, g.share), S.interval(g.low, g.high, g.share, true)] : ["–", "–", "–", ""];
    };
    const heads = ["run", ...measures.flatMap((m) => [{ text: `${m === "accuracy_t1" ? "T = 1" : "greedy"}: base`, number: true }, { text: "final", number: true }, { text: "points", number: true }, { text: "95 %", number: true }]), { text: "attempts", number: true }, { text: "time", number: true }];
    return h("details", { class: "block", open: runs.length <= 8 }, h("summary", null, `Each of the ${runs.length} runs`),
      S.table(heads, runs.map((run) => [S.visible(run.id), ...measures.flatMap((m) => one(run, m)), S.number(run.cost.samples), S.duration(run.cost.seconds)]), { label: "each run" }));
  }
  function pairs(found) {
    return h("section", { class: "block" }, h("h3", null, "Paired differences of the last measures"),
      h("p", { class: "sub" }, "Final value of the second run minus that of the first, over the questions that both answered."),
      S.table(["difference", "measure", { text: "questions", number: true }, { text: "points", number: true }, { text: "95 % interval", number: true }],
        found.map((p) => [`${S.visible(p.b)} − ${S.visible(p.a)}`, p.label, S.number(p.items), S.points(p.change), S.interval(p.low, p.high, true, true)]), { label: "paired differences" }));
  }
  function strategies(runs) {
    const found = runs.flatMap((r) => r.strategies.map((s) => [S.visible(r.id), s]));
    if (!found.length) return null;
    return h("section", { class: "block" }, h("h3", null, "Strategies"),
      S.table(["run", "strategy", { text: "accuracy", number: true }, { text: "95 %", number: true }, { text: "against the first", number: true }, { text: "calls", number: true }, { text: "tokens", number: true }],
        found.map(([run, s]) => [run, s.strategy + (s.best ? " ★" : ""), S.percent(s.accuracy), S.interval(s.low, s.high, true), s.gain === null ? "–" : S.points(s.gain), S.number(s.calls), S.number(s.tokens)]), { label: "strategies" }),
      h("p", { class: "sub" }, "★ no other strategy without the verifier has both more accuracy and fewer tokens. Calls and tokens are means a question."));
  }
  function warnings(runs) {
    const found = runs.flatMap((r) => r.warnings.map((w) => ({ run: r.id, ...w })));
    if (!found.length) return null;
    return h("section", { class: "block warn", "aria-label": "Warnings" }, h("h3", null, `Warnings (${found.length})`),
      h("ul", null, found.slice(0, 40).map((w) => h("li", null,
        h("span", { class: "where" }, [runs.length > 1 && S.visible(w.run), w.round !== null && `round ${w.round}`].filter(Boolean).join(" · ")), " ", S.visible(w.text)))),
      found.length > 40 && h("p", { class: "sub" }, `and ${found.length - 40} more`));
  }

  // curves -----------------------------------------------------------------------------------
  function sections(data, colours) {
    const runs = data.runs.filter((r) => !S.hidden.has(r.id));
    const blocks = [];
    for (const [key, title] of Object.entries(data.sections)) {
      const groups = new Map();
      for (const run of runs) {
        for (const chart of run.charts.filter((c) => c.section === key)) {
          if (!groups.has(chart.id)) groups.set(chart.id, { chart, parts: [] });
          groups.get(chart.id).parts.push({ run: S.visible(run.id), colour: colours.get(run.id), chart });
        }
      }
      const all = [...groups.values()];
      const many = key === "other" || all.filter((g) => g.chart.main).length > 24;
      const searches = key === "balance" ? runs.flatMap((r) => (r.searches.length ? [searchOf(r)] : [])) : [];
      const shown = many ? [] : all.filter((g) => g.chart.main);
      const rest = many ? all : all.filter((g) => !g.chart.main);
      if (!all.length && !searches.length) continue;
      blocks.push(h("section", { class: "block", id: `section-${key}` }, h("h3", null, title),
        shown.length > 0 && grid(shown.map((g) => drawn(g, data, runs))), searches,
        more(rest, (g) => drawn(g, data, runs), shown.length ? "More measures" : "All measures")));
      if (key === "accuracy") blocks.push(statuses(runs));
    }
    if (!blocks.some((b) => b && b.id === "section-accuracy")) blocks.unshift(statuses(runs));
    return [...blocks, ledger(runs), settings(runs)];
  }
  const grid = (figures) => h("div", { class: "grid" }, figures);
  function drawn({ chart, parts }, data, runs) {
    const group = data.groups.length === 1 ? data.groups[0] : null;
    const pooled = group && runs.length === data.runs.length ? group.pooled.find((p) => p.id === chart.id) : null;
    return S.curve(chart, parts, pooled && pooled.points);
  }
  // a long tail of measures, each row's name apart, drawn when opened
  function more(rest, draw, title) {
    if (!rest.length) return null;
    const names = [...new Set(rest.map((g) => g.chart.name))];
    const details = h("details", { class: "more" }, h("summary", null, `${title} (${rest.length})`));
    details.addEventListener("toggle", () => {
      if (!details.open || details.children.length > 1) return;
      for (const name of names) {
        details.append(h("h4", null, S.visible(name.replaceAll("_", " "))), grid(rest.filter((g) => g.chart.name === name).map(draw)));
      }
    });
    return details;
  }
  const searchOf = (run) => S.searchChart({
    id: `search-${run.id}`, class: "wide", title: `balance by temperature and threshold, ${S.visible(run.id)}`, unit: "",
    about: "deeper is better; the frame is what the round chose", searches: spread(run.searches, 8),
  });
  const spread = (items, most) => (items.length <= most ? items : Array.from({ length: most }, (_, i) => items[Math.round((i * (items.length - 1)) / (most - 1))]));

  const STATUS = { ok: "series-3", unparsable: "series-2", truncated: "series-4", refused: "series-5", invalid_move: "series-6", timeout: "series-7", crash: "wrong", bad_gold: "series-8", abstain: "muted" };
  function statuses(runs) {
    const figures = runs.slice(0, 8).flatMap((run) => {
      const name = ["score", "sampled", "greedy"].find((n) => run.statuses.some((s) => s.name === n)) || (run.statuses[0] || {}).name;
      const bars = run.statuses.filter((s) => s.name === name).flatMap((s) => Object.entries(s.shares).map(([kind, value]) => ({ x: s.round, kind, value })));
      return bars.length ? [S.stackChart({ id: `status-${run.id}`, title: `verdict statuses, ${S.visible(run.id)}`, unit: "%", about: `of the ${name === "score" ? "training attempts" : name.replaceAll("_", " ") + " attempts"}, by round`, x: "round", share: true, bars, order: Object.keys(STATUS), colours: STATUS })] : [];
    });
    return figures.length ? h("section", { class: "block", id: "section-statuses" }, h("h3", null, "Verdict statuses"), grid(figures)) : null;
  }

  const KINDS = { sample: "series-1", score: "series-2", learn: "series-3", measure: "series-4", other: "muted" };
  function ledger(runs) {
    const bars = runs.flatMap((run) => Object.keys(KINDS).map((kind) => ({ x: S.visible(run.id), kind, value: run.ledger.reduce((sum, line) => sum + line[kind], 0) })));
    if (!bars.some((b) => b.value > 0)) return null;
    const rounds = runs.length === 1 ? runs[0].ledger.flatMap((line) => Object.keys(KINDS).map((kind) => ({ x: line.round, kind, value: line[kind] }))) : [];
    return h("section", { class: "block", id: "section-ledger" }, h("h3", null, "Where the time went"),
      h("div", { class: "grid two" },
        S.stackChart({ id: "ledger", title: "time by kind of work", unit: "seconds", about: "held-out sampling and scoring count as measure", x: "run", across: true, axis: "seconds", bars, order: Object.keys(KINDS), colours: KINDS }),
        rounds.length > 0 && S.stackChart({ id: "ledger-rounds", title: "time by round", unit: "seconds", about: "round 0 is what came before the first", x: "round", axis: "seconds", bars: rounds, order: Object.keys(KINDS), colours: KINDS })));
  }

  function settings(runs) {
    const keys = [...new Set(runs.flatMap((r) => Object.keys(r.settings)))];
    const text = (v) => (v === undefined ? "–" : Array.isArray(v) ? `[${v.map((x) => S.visible(x)).join(", ")}]` : S.number(v) === "" ? '""' : typeof v === "number" ? String(v) : S.number(v));
    const differs = (key) => new Set(runs.map((r) => JSON.stringify(r.settings[key]))).size > 1;
    const row = (key) => [h("code", null, key), ...(differs(key) ? runs.map((r) => text(r.settings[key])) : [text(runs[0].settings[key]), ...runs.slice(1).map(() => "same")])];
    const sorted = [...keys.filter(differs), ...keys.filter((k) => !differs(k))];
    const versions = [...new Set(runs.map((r) => Object.entries(r.versions).map(([k, v]) => `${k} ${v}`).join(", ")))];
    return h("details", { class: "block", id: "section-settings" }, h("summary", null, "Settings and versions"),
      runs.length > 0 && S.table(["setting", ...runs.map((r) => S.visible(r.id))], sorted.map(row), { label: "settings" }),
      versions.map((v) => h("p", { class: "sub" }, S.visible(v))));
  }
})(window.Sharpen);
