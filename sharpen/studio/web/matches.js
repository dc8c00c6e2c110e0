"use strict";
// Stored games, move by move: what each side saw, thought and did.
(function (S) {
  const { h } = S;
  const PAGE = 20;

  S.matches = async function (main, route) {
    const runs = await S.runList();
    const run = runs.some((r) => r.id === route.run) ? route.run : runs[0] && runs[0].id;
    const want = { step: route.step || "", offset: Number(route.offset) || 0, limit: PAGE };
    const found = run ? await S.source.plays(run, want) : { steps: [], plays: [] };
    if (!found.steps.length) {
      S.fill(main, h("h2", null, "Games"), pick(runs, run), h("p", { class: "note" }, "This run has played no games."));
      return;
    }
    const at = Math.min(Math.max(Number(route.game) || 0, 0), Math.max(found.plays.length - 1, 0));
    const go = (changes) => S.go("games", { run, step: want.step, offset: want.offset, game: at, ...changes });
    const board = h("div", { class: "board" });
    const list = h("div", { class: "rows games", role: "list", "aria-label": "Games" }, found.plays.map((play, i) =>
      h("div", { role: "listitem" }, h("button", {
        type: "button", class: "row", "data-row": i, tabindex: i === at ? 0 : -1, "aria-current": i === at ? "true" : null,
        onclick: () => go({ game: i }),
      }, h("span", { class: "task" }, S.visible(play.task_id)), h("span", { class: "text" }, play.sitting.map((s) => S.visible(s)).join(" – ")),
      h("span", { class: "facts" }, play.returns.map((r) => (r > 0 ? "+" : "") + S.number(r)).join("  "),
        play.endings.some((e) => e !== "ok") && h("span", { class: "tag" }, play.endings.find((e) => e !== "ok").replace("_", " ")))))));
    S.roving(list, (el) => go({ game: el.dataset.row }));
    const last = want.offset + found.plays.length;
    S.fill(main, h("h2", null, "Games"), h("div", { class: "filters" }, pick(runs, run),
      S.picker("Step", [["", "all steps"], ...found.steps.map((s) => [s.key, `${S.visible(s.key)}  (${s.plays})`])], want.step, (step) => go({ step, offset: 0, game: 0 }))),
    h("p", { class: "sub count" }, `${want.offset + 1}–${last} of ${S.number(found.total)}${found.of > found.total && !want.step ? `; ${S.number(found.of)} are stored` : ""}`),
    h("div", { class: "match" }, h("div", null, list, found.total > PAGE && h("nav", { class: "pages", "aria-label": "Pages" },
      h("button", { type: "button", disabled: !want.offset, onclick: () => go({ offset: Math.max(0, want.offset - PAGE), game: 0 }) }, "← Previous"),
      h("button", { type: "button", disabled: last >= found.total, onclick: () => go({ offset: want.offset + PAGE, game: 0 }) }, "Next →"))), board));
    if (found.plays[at]) game(board, found.plays[at]);
  };
  const pick = (runs, run) => runs.length > 1 && S.picker("Run", runs.map((r) => [r.id, S.visible(r.id)]), run, (id) => S.go("games", { run: id }));

  function game(board, play) {
    let shown = play.turns.length;
    const turns = h("ol", { class: "turns" });
    const where = h("span", { class: "sub", role: "status" });
    const slider = h("input", { type: "range", min: 0, max: play.turns.length, value: shown, "aria-label": "Moves shown", oninput: (e) => to(Number(e.target.value)) });
    const step = (by, text) => h("button", { type: "button", onclick: () => to(shown + by) }, text);
    function to(n) {
      shown = Math.max(0, Math.min(play.turns.length, n));
      slider.value = shown;
      where.textContent = `move ${shown} of ${play.turns.length}`;
      S.fill(turns, play.turns.slice(0, shown).map(([seat, saw, said], i) => turn(play, seat, saw, said, i, i === shown - 1)));
      end.hidden = shown < play.turns.length;
    }
    const end = h("div", { class: "end" }, play.returns.map((r, seat) => h("p", null,
      h("b", { class: `seat seat-${seat % 4}` }, `${seat} ${S.visible(play.sitting[seat])}`), ` ${r > 0 ? "+" : ""}${S.number(r)}`,
      play.endings[seat] !== "ok" && h("span", { class: "tag" }, play.endings[seat].replace("_", " ")))),
    play.detail && h("p", { class: "sub" }, S.visible(play.detail)), h("details", null, h("summary", null, "How it ended"), h("pre", null, S.visible(JSON.stringify(play.end, null, 1)))));
    S.fill(board, h("h3", null, S.visible(play.task_id), h("span", { class: "sub" }, ` ${S.visible(play.step)}, game ${play.i}`)),
      h("div", { class: "walk" }, step(-1, "← Move"), slider, step(1, "Move →"), where), turns, end);
    board.addEventListener("keydown", (e) => {
      if (e.target === slider) return;
      if (e.key === "ArrowLeft") to(shown - 1);
      if (e.key === "ArrowRight") to(shown + 1);
    });
    to(shown);
  }
  function turn(play, seat, saw, said, i, last) {
    const move = play.moves[i];
    const thought = said.trim();
    return h("li", { class: `turn seat-${seat % 4} ${last ? "last" : ""}` },
      h("div", { class: "who" }, h("b", { class: "seat" }, `${seat} ${S.visible(play.sitting[seat])}`), h("span", { class: "sub" }, ` move ${i + 1}`)),
      h("div", { class: "saw" }, h("span", { class: "role" }, "sees"), h("pre", { dir: "auto" }, S.visible(saw.trim()))),
      h("div", { class: "said" }, h("span", { class: "role" }, "says"), h("pre", { dir: "auto" }, S.visible(thought) || "(nothing)")),
      move && String(move[1]).trim() !== thought && h("div", { class: "did" }, h("span", { class: "role" }, "plays"), h("pre", null, S.visible(move[1]))));
  }
})(window.Sharpen);
