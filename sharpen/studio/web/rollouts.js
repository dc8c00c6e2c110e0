"use strict";
// The list of attempts: filters, search, sorting, pages. Rows open the group that they belong to.
(function (S) {
  const { h } = S;
  const PAGE = 50;

  S.rollouts = async function (main, route) {
    const runs = await S.runList();
    const run = runs.some((r) => r.id === route.run) ? route.run : runs[0] && runs[0].id;
    if (!run) {
      S.fill(main, h("p", { class: "note" }, "There is no run here yet."));
      return;
    }
    const want = { step: route.step || "", outcome: route.outcome || "", status: route.status || "", text: route.text || "", sort: route.sort || "", offset: Number(route.offset) || 0 };
    const steps = await S.source.steps(run);
    const results = h("div", { "aria-busy": "true" });
    const set = (changes) => {
      Object.assign(want, { offset: 0 }, changes);
      S.go("rollouts", { run, ...want }, { quiet: true });
      show();
    };
    const bar = h("div");
    const drawBar = () => S.fill(bar, filters(runs, run, steps, want, set));
    S.fill(main, h("h2", null, "Rollouts"), bar, results);
    async function show() {
      drawBar();
      results.setAttribute("aria-busy", "true");
      const asked = JSON.stringify(want);
      try {
        const found = await S.source.episodes(run, { ...want, limit: PAGE });
        if (asked !== JSON.stringify(want)) return; // another filter has been chosen since
        S.fill(results, list(found, run, want, set));
        S.say(`${S.number(found.total)} rollouts`);
      } catch (problem) {
        S.fill(results, h("p", { class: "note bad", role: "alert" }, problem.message));
      }
      results.setAttribute("aria-busy", "false");
    }
    await show();
  };

  const OUTCOMES = [["", "All"], ["right", "Right"], ["wrong", "Wrong"], ["unknown", "Unknown"], ["unjudged", "Not judged"]];
  const STATUSES = ["ok", "unparsable", "truncated", "refused", "invalid_move", "timeout", "crash", "bad_gold", "abstain"];
  function filters(runs, run, steps, want, set) {
    const search = h("input", {
      type: "search", value: want.text, placeholder: S.kind === "report" ? "Search questions and answers" : "Search answers", "aria-label": "Search text",
      onkeydown: (e) => e.key === "Enter" && set({ text: e.target.value }),
      onsearch: (e) => set({ text: e.target.value }),
      onchange: (e) => e.target.value !== want.text && set({ text: e.target.value }),
    });
    return h("form", { class: "filters", onsubmit: (e) => e.preventDefault() },
      runs.length > 1 && S.picker("Run", runs.map((r) => [r.id, S.visible(r.id)]), run, (id) => S.go("rollouts", { run: id, ...want, offset: 0, step: "" })),
      S.picker("Step", [["", `all ${steps.length} steps`], ...steps.map((s) => [s.key, `${S.visible(s.key)}  (${S.number(s.rows)})`])], want.step, (step) => set({ step })),
      S.choice("Outcome", OUTCOMES, want.outcome, (outcome) => set({ outcome })),
      S.picker("Status", [["", "any"], ...STATUSES.map((s) => [s, s.replace("_", " ")])], want.status, (status) => set({ status })),
      S.picker("Order", S.SORTS, want.sort, (sort) => set({ sort })),
      search);
  }

  function list(found, run, want, set) {
    const first = want.offset + 1;
    const last = want.offset + found.rows.length;
    const stored = found.of > found.shown ? ` This page holds ${S.number(found.shown)} of the run's ${S.number(found.of)}, drawn group by group.` : "";
    const told = found.total ? `${S.number(first)}–${S.number(last)} of ${S.number(found.total)}${found.total === found.shown ? "" : " that fit"}.${stored}` : `None fits.${stored}`;
    const open = (el) => S.go("group", { run, step: el.dataset.step, task: el.dataset.task, key: el.dataset.row });
    const rows = h("div", { class: "rows", role: "list", "aria-label": "Rollouts" }, found.rows.map((row, i) => item(row, run, i)));
    S.roving(rows, open);
    const pages = found.total > PAGE && h("nav", { class: "pages", "aria-label": "Pages" },
      h("button", { type: "button", disabled: want.offset === 0, onclick: () => set({ offset: Math.max(0, want.offset - PAGE) }) }, "← Previous"),
      h("button", { type: "button", disabled: last >= found.total, onclick: () => set({ offset: want.offset + PAGE }) }, "Next →"));
    return [h("p", { class: "sub count" }, told), rows, pages];
  }
  function item(row, run, i) {
    return h("div", { role: "listitem" },
      h("a", {
        class: "row", href: S.address("group", { run, step: row.step, task: row.task, key: row.key }), "data-row": row.key, "data-step": row.step,
        "data-task": row.task, tabindex: i === 0 ? 0 : -1,
      },
      S.mark(row),
      h("span", { class: "task", dir: "auto" }, S.visible(row.task)),
      h("span", { class: "text", dir: "auto" }, S.line(row.text, 220) || h("em", null, "empty")),
      h("span", { class: "facts" },
        row.status && row.status !== "ok" && h("span", { class: "tag" }, row.status.replace("_", " ")),
        h("span", { title: "reward" }, row.score === null ? "" : `score ${S.number(row.score)}`),
        h("span", { title: "sampled tokens" }, `${row.n} tok`),
        h("span", { title: "mean next-token entropy, nats" }, row.ent === null ? "" : `H ${row.ent.toFixed(2)}`),
        h("span", { class: "step" }, `r${row.round} · ${S.visible(row.step.split("/").pop())}`))));
  }
})(window.Sharpen);
