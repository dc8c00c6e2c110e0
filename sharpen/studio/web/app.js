"use strict";
// Addresses, the bar at the top, light and dark.
(function (S) {
  const { h } = S;
  const VIEWS = { overview: S.overview, rollouts: S.rollouts, group: S.group, games: S.matches, runs: S.runs, sql: S.sql, diff: S.diff };
  const HOME = S.kind === "report" ? "overview" : "runs";
  const main = document.getElementById("main");

  S.address = function (view, params) {
    const words = new URLSearchParams();
    for (const [k, v] of Object.entries(params || {})) {
      if (Array.isArray(v)) v.forEach((one) => words.append(k, one));
      else if (v !== "" && v !== null && v !== undefined && v !== 0) words.set(k, v);
    }
    return `#${view}${[...words].length ? `?${words}` : ""}`;
  };
  S.go = function (view, params, how) {
    const to = S.address(view, params);
    if (how && how.quiet) history.replaceState(null, "", to);
    else if (location.hash === to) show();
    else location.hash = to;
  };
  function route() {
    const [view, query] = location.hash.slice(1).split("?");
    const words = new URLSearchParams(query || "");
    const params = Object.fromEntries(words);
    return { view: view in VIEWS ? view : HOME, params: { ...params, runs: words.getAll("runs") } };
  }

  // the runs that lists choose from; the studio's are asked for anew
  S.runList = async function () {
    const found = await S.source.runs();
    return Array.isArray(found) ? found : found.runs;
  };

  let shown = 0;
  async function show() {
    const { view, params } = route();
    const mine = ++shown;
    if (S.leave) S.leave();
    S.leave = null;
    bar(view, params);
    if (main.hasChildNodes()) main.setAttribute("aria-busy", "true");
    const stage = h("div", { class: `view ${view}` });
    try {
      await VIEWS[view](stage, params);
    } catch (problem) {
      S.fill(stage, h("p", { class: "note bad", role: "alert" }, problem.message));
    }
    if (mine !== shown) return; // the reader has gone on
    S.fill(main, stage);
    main.setAttribute("aria-busy", "false");
    window.scrollTo(0, 0);
  }

  function bar(view, params) {
    const near = (...names) => names.includes(view);
    const run = params.run || (params.runs.length === 1 ? params.runs[0] : "");
    const link = (to, text, on, extra) => h("a", { href: S.address(to, extra), "aria-current": on ? "page" : null }, text);
    const links = S.kind === "report"
      ? [link("overview", "Overview", near("overview")), link("rollouts", "Rollouts", near("rollouts", "group")), S.hasGames && link("games", "Games", near("games"))]
      : [link("runs", "Runs", near("runs")), link("overview", "Compare", near("overview"), { runs: params.runs.length ? params.runs : run ? [run] : [] }),
        link("rollouts", "Rollouts", near("rollouts", "group"), { run }), link("games", "Games", near("games"), { run }), link("diff", "Rounds", near("diff"), { run }), link("sql", "SQL", near("sql"), { run })];
    S.fill(document.getElementById("top"),
      h("a", { class: "brand", href: S.address(HOME) }, h("span", { class: "logo", "aria-hidden": true }), "Sharpen"),
      h("h1", { class: S.source.title ? "" : "unseen" }, S.visible(S.source.title || "studio")),
      h("nav", { "aria-label": "Pages" }, links), theme());
  }

  // light and dark: the system's, until one is chosen
  function theme() {
    const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const button = h("button", { type: "button", class: "theme", onclick: () => {
      const next = dark() ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try {
        localStorage.setItem("sharpen-theme", next);
      } catch { /* a page from a file may keep nothing */ }
      told();
    } });
    const told = () => {
      button.textContent = dark() ? "☀" : "☾";
      button.setAttribute("aria-label", dark() ? "Light colours" : "Dark colours");
      button.title = button.getAttribute("aria-label");
    };
    told();
    return button;
  }
  try {
    const kept = localStorage.getItem("sharpen-theme");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch { /* see above */ }

  document.body.classList.add(S.kind);
  document.querySelector(".skip").addEventListener("click", (e) => {
    e.preventDefault();
    main.focus();
  });
  window.addEventListener("hashchange", show);
  (async () => {
    if (S.kind === "report") S.hasGames = (await S.source.runs()).some((r) => r.charts.some((c) => c.section === "contest" || c.section === "self_play"));
    await show();
    document.documentElement.dataset.ready = "yes";
  })();
})(window.Sharpen);
