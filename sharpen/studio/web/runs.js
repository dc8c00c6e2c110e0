"use strict";
// The studio's first page: every run below the folder, as it goes.
(function (S) {
  const { h } = S;
  const EVERY = 2000; // milliseconds between looks
  S.chosen = new Set();

  S.runs = async function (main) {
    const head = h("div", { class: "filters" });
    const table = h("div");
    S.fill(main, head, table);
    let last = "";
    let words = "";
    async function look() {
      const found = await S.source.runs();
      const now = JSON.stringify(found);
      if (now === last) return;
      last = now;
      draw(found);
    }
    function draw(found) {
      const focus = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.for : null;
      for (const id of S.chosen) if (!found.runs.some((r) => r.id === id)) S.chosen.delete(id);
      const live = found.runs.filter((r) => r.state === "running").length;
      S.fill(head, h("div", null, h("h2", null, "Runs"), h("p", { class: "sub", role: "status" },
        `${found.runs.length} below ${S.visible(found.root)}${live ? `, ${live} running` : ""}`)),
      h("input", { type: "search", value: words, placeholder: "Filter by name or recipe", "aria-label": "Filter runs", "data-for": "filter",
        oninput: (e) => {
          words = e.target.value;
          rows(found);
        } }),
      h("button", { type: "button", class: "main", disabled: !S.chosen.size, "data-for": "compare",
        onclick: () => S.go("overview", { runs: [...S.chosen] }) }, S.chosen.size > 1 ? `Compare ${S.chosen.size} runs` : S.chosen.size ? "Show 1 run" : "Choose runs to compare"));
      rows(found);
      const again = focus && main.querySelector(`[data-for="${CSS.escape(focus)}"]`);
      if (again) again.focus();
    }
    function rows(found) {
      const fits = (r) => !words || `${r.id} ${r.recipe}`.toLowerCase().includes(words.toLowerCase());
      const shown = found.runs.filter(fits);
      if (!found.runs.length) {
        S.fill(table, h("p", { class: "note" }, "No run is below this folder yet. One that begins appears here."));
        return;
      }
      const grouped = new Map(found.groups.flatMap((g) => g.runs.map((r) => [r, g])));
      const lines = [];
      const seen = new Set();
      for (const run of shown) {
        const group = grouped.get(run.id);
        if (group && !seen.has(group.id)) {
          seen.add(group.id);
          lines.push(groupLine(group, () => draw(found)));
        }
        lines.push(line(run, Boolean(group), () => draw(found)));
      }
      S.fill(table, h("div", { class: "scroll runs-table", tabindex: 0, role: "region", "aria-label": "runs" }, h("table", null,
        h("thead", null, h("tr", null, h("th", { scope: "col" }, h("span", { class: "unseen" }, "choose")), ["run", "recipe", "state", "progress"].map((t) => h("th", { scope: "col" }, t)),
          h("th", { scope: "col", class: "number" }, "result"), h("th", { scope: "col" }, "by round"), h("th", { scope: "col", class: "number" }, "steps"), h("th", { scope: "col" }, "last step"))),
        h("tbody", null, lines))));
    }
    await look();
    const timer = setInterval(() => look().catch((problem) => S.fill(table, h("p", { class: "note bad", role: "alert" }, problem.message))), EVERY);
    S.leave = () => clearInterval(timer);
  };

  function groupLine(group, draw) {
    const all = group.runs.every((r) => S.chosen.has(r));
    const box = h("input", { type: "checkbox", checked: all, "data-for": `group ${group.id}`, "aria-label": `all seeds of ${group.id}`, onchange: () => {
      group.runs.forEach((r) => (all ? S.chosen.delete(r) : S.chosen.add(r)));
      draw();
    } });
    return h("tr", { class: "group" }, h("td", null, box), h("td", { colspan: 8 }, h("a", { href: S.address("overview", { runs: group.runs }) }, S.visible(group.id)),
      h("span", { class: "sub" }, `  ${group.recipe}, ${group.runs.length} of ${group.planned} seeds`)));
  }
  function line(run, inside, draw) {
    const box = h("input", { type: "checkbox", checked: S.chosen.has(run.id), "data-for": run.id, "aria-label": `choose ${run.id}`, onchange: (e) => {
      if (e.target.checked) S.chosen.add(run.id);
      else S.chosen.delete(run.id);
      draw();
    } });
    if (run.state === "unreadable") return h("tr", null, h("td"), h("td", null, S.visible(run.id)), h("td", { colspan: 7 }, h("span", { class: "mark wrong" }, S.visible(run.problem))));
    const done = run.rounds ? Math.min(run.round / run.rounds, 1) : null;
    const { label, share, values } = run.headline;
    const now = values[values.length - 1];
    const doing = run.doing ? `at ${S.visible(decodeURIComponent(run.doing.step))}, ${run.doing.units} stored` : S.visible(run.last);
    return h("tr", { "aria-selected": String(S.chosen.has(run.id)), "data-run": run.id }, h("td", null, box),
      h("td", null, h("a", { href: S.address("overview", { runs: [run.id] }) }, inside ? S.visible(run.id.split("/").pop()) : S.visible(run.id)), run.control && h("span", { class: "tag", title: run.control }, "control")),
      h("td", null, S.visible(run.recipe)), h("td", null, h("span", { class: `state ${run.state}` }, run.state)),
      h("td", { class: "wide" }, done !== null && [h("span", { class: "meter", "aria-hidden": true, vars: { "--done": done } }, h("i")), `${run.round} of ${run.rounds}`]),
      h("td", { class: "number" }, now === undefined ? "–" : [label !== "greedy" && h("span", { class: "sub" }, `${S.visible(label)} `), S.measure(now, share)],
        values.length > 1 && h("span", { class: "sub" }, ` ${S.change(now - values[0], share)}`)),
      h("td", null, S.spark(values)), h("td", { class: "number" }, S.number(run.steps)),
      h("td", { class: "last" }, h("code", null, doing), run.problem && h("span", { class: "tag" }, S.visible(run.problem))));
  }

  // a page of curves follows its runs while they are live
  const plain = S.overview;
  S.overview = async function (main, route) {
    if (S.kind === "report") return plain(main, route);
    if (!route.runs.length) {
      S.fill(main, h("h2", null, "Compare"), h("p", { class: "note" }, "Choose runs on the page ", h("a", { href: S.address("runs") }, "Runs"), "."));
      return null;
    }
    await plain(main, route);
    let last = JSON.stringify((await S.source.stamp(route.runs)).stamps);
    const timer = setInterval(async () => {
      try {
        const now = JSON.stringify((await S.source.stamp(route.runs)).stamps);
        if (now === last || document.querySelector(".chart details[open], .more[open]")) return;
        last = now;
        const at = window.scrollY;
        await plain(main, route);
        window.scrollTo(0, at);
        S.say("The run has gone on; the page is up to date.");
      } catch {
        clearInterval(timer);
      }
    }, EVERY);
    S.leave = () => clearInterval(timer);
    return null;
  };
})(window.Sharpen);
