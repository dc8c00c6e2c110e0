"use strict";
// SQL over one run, and the answers of two steps to the same questions.
(function (S) {
  const { h } = S;
  const EXAMPLES = [
    ["accuracy by step", "select round, step, count(*) as attempts, avg(correct::int) as accuracy\nfrom rollouts group by all order by round, step"],
    ["what verifiers say", "select status, detail, count(*) as times\nfrom rollouts where not correct group by all order by times desc limit 20"],
    ["sure and wrong", "select task_id, text, mean_entropy\nfrom rollouts where not correct order by mean_entropy limit 20"],
    ["hardest questions", "select task_id, avg(correct::int) as right, count(*) as attempts\nfrom rollouts group by task_id having count(*) > 1 order by right, attempts desc limit 20"],
    ["a measure", "select round, value, low, high from metrics\nwhere name = 'held_out' and measure = 'accuracy_greedy' order by round"],
  ];
  const TABLES = {
    rollouts: ["key", "step", "round", "task_id", "sample", "text", "prefill", "finish", "n_sampled", "mean_entropy", "mean_certainty", "correct", "status", "score", "by", "detail"],
    metrics: ["name", "round", "step", "measure", "value", "low", "high"],
  };

  S.sql = async function (main, route) {
    const runs = await S.runList();
    const run = runs.some((r) => r.id === route.run) ? route.run : runs[0] && runs[0].id;
    const text = h("textarea", { "aria-label": "SQL", spellcheck: "false", value: S.sqlText || EXAMPLES[0][1], oninput: (e) => (S.sqlText = e.target.value),
      onkeydown: (e) => {
        if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) ask();
      } });
    const results = h("div", { role: "region", "aria-label": "Result" });
    const button = h("button", { type: "button", class: "main", onclick: () => ask() }, "Run");
    const example = (name, sql) => h("button", { type: "button", onclick: () => {
      text.value = S.sqlText = sql;
      ask();
    } }, name);
    async function ask() {
      button.disabled = true;
      const began = performance.now();
      try {
        const found = await S.source.sql(run, text.value);
        const heads = found.columns.map((c, i) => (found.rows.length && found.rows.every((r) => r[i] === null || typeof r[i] === "number") ? { text: S.visible(c), number: true } : S.visible(c)));
        S.fill(results, h("p", { class: "sub count", role: "status" }, `${S.number(found.rows.length)} rows${found.more ? ", and more than are shown" : ""}, ${S.duration((performance.now() - began) / 1000)}`),
          S.table(heads, found.rows.map((row) => row.map((v) => (typeof v === "string" ? h("span", { dir: "auto" }, S.line(v, 400)) : S.number(v)))), { label: "rows", class: "mono" }));
      } catch (problem) {
        S.fill(results, h("p", { class: "note bad", role: "alert" }, S.visible(problem.message)));
      }
      button.disabled = false;
    }
    S.fill(main, h("h2", null, "SQL"), h("p", { class: "sub" }, "One SELECT over a run's rollouts and metrics, read-only. Ctrl+Enter runs it."),
      h("div", { class: "filters" }, S.picker("Run", runs.map((r) => [r.id, S.visible(r.id)]), run, (id) => S.go("sql", { run: id })), h("div", { class: "walk", role: "group", "aria-label": "Examples" }, EXAMPLES.map(([name, sql]) => example(name, sql)))),
      text, h("div", { class: "walk" }, button),
      h("details", { class: "more" }, h("summary", null, "Columns"), Object.entries(TABLES).map(([name, columns]) => h("div", { class: "columns" }, h("b", null, name), columns.map((c) => h("code", null, c))))),
      results);
  };

  // two steps beside each other ----------------------------------------------------------------
  const CHANGES = [["", "All"], ["fixed", "Fixed"], ["broken", "Broken"], ["wrong", "Both wrong"], ["right", "Both right"], ["other", "Not judged"]];
  S.diff = async function (main, route) {
    const runs = await S.runList();
    const run = runs.some((r) => r.id === route.run) ? route.run : runs[0] && runs[0].id;
    const steps = run ? await S.source.steps(run) : [];
    const held = steps.filter((s) => s.key.includes("held_out") && s.name === "greedy");
    const usual = held.length > 1 ? held : steps;
    const known = (key) => steps.some((s) => s.key === key);
    const want = { run, a: known(route.a) ? route.a : usual.length ? usual[0].key : "", b: known(route.b) ? route.b : usual.length ? usual[usual.length - 1].key : "", change: route.change || "", offset: Number(route.offset) || 0 };
    const go = (changes) => S.go("diff", { ...want, offset: 0, ...changes });
    const pick = (label, chosen, name) => S.picker(label, steps.map((s) => [s.key, `${S.visible(s.key)}  ${S.visible(s.name)}`]), chosen, (key) => go({ [name]: key }));
    const top = [h("h2", null, "Two rounds, the same questions"), h("div", { class: "filters" },
      runs.length > 1 && S.picker("Run", runs.map((r) => [r.id, S.visible(r.id)]), run, (id) => S.go("diff", { run: id })), pick("Before", want.a, "a"), pick("After", want.b, "b"))];
    if (!want.a) {
      S.fill(main, top, h("p", { class: "note" }, "This run has no stored rollouts yet."));
      return;
    }
    const found = await S.source.diff(run, want.a, want.b, want);
    const total = Object.values(found.counts).reduce((a, b) => a + b, 0);
    const options = CHANGES.filter(([k]) => !k || found.counts[k]).map(([k, name]) => [k, `${name} ${S.number(k ? found.counts[k] : total)}`]);
    const last = want.offset + found.rows.length;
    S.fill(main, top,
      total ? S.choice("Change", options, want.change, (change) => go({ change })) : h("p", { class: "note" }, "These steps share no question and attempt."),
      h("div", { class: "pairs" }, found.rows.map((row) => pair(row, run, want))),
      found.total > found.rows.length && h("nav", { class: "pages", "aria-label": "Pages" },
        h("button", { type: "button", disabled: !want.offset, onclick: () => go({ offset: Math.max(0, want.offset - 20) }) }, "← Previous"),
        h("span", { class: "sub" }, `${want.offset + 1}–${last} of ${S.number(found.total)}`),
        h("button", { type: "button", disabled: last >= found.total, onclick: () => go({ offset: want.offset + 20 }) }, "Next →")));
  };
  function pair(row, run, want) {
    const [before, after] = [(row.prefill_a || "") + row.text_a, (row.prefill_b || "") + row.text_b];
    const [left, right] = compared(before, after);
    const side = (x, step, parts, kind) => h("div", { class: `card ${S.outcome(x)}` },
      h("header", null, S.mark(x), h("a", { href: S.address("group", { run, step, task: row.task, key: x.key }) }, S.visible(step))),
      h("pre", { dir: "auto" }, parts.map(([same, text]) => (same ? S.visible(text) : h(kind, null, S.visible(text))))));
    return h("section", { class: "pair" }, h("h4", null, S.visible(row.task), h("span", { class: "sub", dir: "auto" }, S.line(row.question, 200))),
      side({ correct: row.correct_a, status: row.status_a, key: row.key_a }, want.a, left, "del"), side({ correct: row.correct_b, status: row.status_b, key: row.key_b }, want.b, right, "ins"));
  }
  // longest common words; very long texts are told apart as wholes
  function compared(a, b) {
    const cut = (text) => text.match(/\s+|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) || [];
    const [x, y] = [cut(a), cut(b)];
    if (x.length * y.length > 400000) return [[[a === b, a]], [[a === b, b]]];
    const size = Array.from({ length: x.length + 1 }, () => new Uint16Array(y.length + 1));
    for (let i = x.length - 1; i >= 0; i--) for (let j = y.length - 1; j >= 0; j--) size[i][j] = x[i] === y[j] ? size[i + 1][j + 1] + 1 : Math.max(size[i + 1][j], size[i][j + 1]);
    const [left, right] = [[], []];
    const put = (side, same, text) => {
      const top = side[side.length - 1];
      if (top && top[0] === same) top[1] += text;
      else side.push([same, text]);
    };
    let [i, j] = [0, 0];
    while (i < x.length || j < y.length) {
      if (i < x.length && j < y.length && x[i] === y[j]) {
        put(left, true, x[i++]);
        put(right, true, y[j++]);
      } else if (j >= y.length || (i < x.length && size[i + 1][j] >= size[i][j + 1])) put(left, false, x[i++]);
      else put(right, false, y[j++]);
    }
    return [left, right];
  }
})(window.Sharpen);
