"use strict";
// Where the page's numbers come from: what a report holds, or a studio's answers. Both give the same shapes.
(function (S) {
  const data = JSON.parse(document.getElementById("data").textContent);
  S.kind = data.kind;

  // a report: everything is here already
  function embedded() {
    const held = (run) => data.rollouts[run] || { rows: [], shown: 0, of: 0, steps: {} };
    const promptOf = (row) => row.spans.filter((s) => s.text).map((s) => s.text).join("");
    return {
      title: data.title,
      overviews: async () => data,
      runs: async () => data.runs,
      steps: async (run) => Object.entries(held(run).steps).map(([key, about]) => ({
        key, about, round: about.round, name: about.name, rows: held(run).rows.filter((r) => r.step === key).length,
      })),
      episodes: async (run, want) => {
        const { rows, shown, of } = held(run);
        const words = (want.text || "").toLowerCase();
        const found = rows.filter((row) =>
          (!want.step || row.step === want.step) &&
          (!want.outcome || S.outcome(row) === want.outcome) &&
          (!want.status || row.status === want.status) &&
          (!words || row.text.toLowerCase().includes(words) || promptOf(row).toLowerCase().includes(words) ||
            row.task.toLowerCase().includes(words)));
        const sorted = S.sorted(found, want.sort);
        const start = want.offset || 0;
        return { rows: sorted.slice(start, start + want.limit), total: found.length, shown, of };
      },
      group: async (run, step, task) => {
        const tasks = [...new Set(held(run).rows.filter((r) => r.step === step).map((r) => r.task))];
        const at = tasks.indexOf(task);
        return {
          rows: held(run).rows.filter((r) => r.step === step && r.task === task),
          about: held(run).steps[step] || {},
          walk: { at, of: tasks.length, before: tasks[at - 1], after: tasks[at + 1] },
        };
      },
      plays: async (run, want) => {
        const all = held(run).plays || [];
        const mine = all.filter((p) => !want.step || p.step === want.step);
        const start = want.offset || 0;
        const steps = [...new Set(all.map((p) => p.step))].map((key) => ({ key, plays: all.filter((p) => p.step === key).length }));
        return { plays: mine.slice(start, start + want.limit), total: mine.length, of: held(run).plays_of || 0, steps };
      },
    };
  }
  S.SORTS = [["", "as stored"], ["n", "fewest tokens"], ["-n", "most tokens"], ["-ent", "highest entropy"],
    ["ent", "lowest entropy"], ["cert", "least certain"], ["-cert", "most certain"], ["score", "lowest score"], ["-score", "highest score"]];
  S.sorted = function (rows, by) {
    if (!by) return rows;
    const down = by.startsWith("-");
    const field = down ? by.slice(1) : by;
    const size = (row) => (typeof row[field] === "number" ? (down ? -row[field] : row[field]) : Infinity);
    return [...rows].sort((a, b) => size(a) - size(b));
  };

  // a studio: asked of the server that gave this page, whose address holds the token
  function remote() {
    async function ask(path, query, body) {
      const words = new URLSearchParams();
      for (const [k, v] of Object.entries(query || {})) {
        if (Array.isArray(v)) v.forEach((one) => words.append(k, one));
        else if (v !== "" && v !== null && v !== undefined) words.set(k, v);
      }
      const options = body ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) } : {};
      let answer;
      try {
        answer = await fetch(`api/${path}?${words}`, options);
      } catch {
        throw new Error("the studio does not answer: was it stopped?");
      }
      const told = await answer.json().catch(() => ({ error: `answer ${answer.status}` }));
      if (!answer.ok) throw new Error(told.error || `answer ${answer.status}`);
      return told;
    }
    return {
      title: "",
      runs: (seen) => ask("runs", { seen }),
      overviews: (ids) => ask("overview", { run: ids }),
      stamp: (ids) => ask("stamp", { run: ids }),
      steps: (run) => ask("steps", { run }).then((a) => a.steps),
      episodes: (run, want) => ask("episodes", { run, ...want }),
      group: (run, step, task) => ask("group", { run, step, task }),
      plays: (run, want) => ask("plays", { run, ...want }),
      sql: (run, sql) => ask("sql", {}, { run, sql }),
      diff: (run, a, b, want) => ask("diff", { ...want, run, a, b, limit: 20 }),
      replay: (run, key) => ask("replay", {}, { run, key }),
    };
  }
  S.source = data.kind === "report" ? embedded() : remote();
})(window.Sharpen);
