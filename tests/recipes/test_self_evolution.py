"""SELF from its first line to its last, and its checklist on whole runs."""

import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.recipes.self_evolution import Settings, dealt, evolved, inferred
from sharpen.runs.journal import Journal
from sharpen.runs.store import compare_exact
from sharpen.sample.fake import FakeEngine
from sharpen.score.feedback import Annotator
from sharpen.tasks.registry import make
from sharpen.tasks.task import GoldIsHidden, hidden
from sharpen.verbs.run import Made, Run
from tests import tiny
from tests.tiny import Told, cut_before, rounds, steps

NAME = "self_evolution"
TASKS = "countdown:level=2"
SMALL = ("lessons=6", "pool=8", "queries=4", "held_out=2", "held_out_sampled=1", "inference=0", "steps=1")


def settings(*changes):
    return tiny.settings(NAME, *changes, pinned=False)


@pytest.fixture(scope="module")
def folder():
    return tiny.finished(NAME, pinned=False)


def begin(folder, engine=None, progress=None, made=None):
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal.create(folder / "run", {"recipe": "none", "seed": 0}, "")
    return Run(journal, seed=0, engine=engine, progress=progress, made=made)


SOURCE = make(TASKS)
BOOK = {str(t.prompt): t for t in SOURCE.take("train", 40)}
PROGRAM = Annotator(SOURCE)
BAD = "1+1=2\nAnswer: 1+1"


class Scripted:
    """A model that solves every second question, criticises as the program does, and refines as told."""

    def __init__(self, policy, *, refine=BAD, critic=None):
        self.policy, self.refine, self.critic, self.asked = policy, refine, critic, []

    def __call__(self, request):
        text = self.policy.tokenizer.decode(request.tokens)
        self.asked.append(text)
        question, _, rest = text.partition("\n")
        task = BOOK[question + "\n"]
        if text.endswith("refine\n"):
            return str(task.solution) if self.refine == "gold" else self.refine
        if text.endswith("assess\n"):
            answer = rest.rpartition("<|end|>\nassess")[0].rpartition("refine\n")[2]
            return PROGRAM.critique(task, answer).text if self.critic is None else self.critic
        return str(task.solution) if [*BOOK].index(question + "\n") % 2 else BAD


def round_of(folder, changes=(), **script):
    """One round of evolution on scripted answers: its rows, its metrics row, warnings, the script."""
    told = Told()
    run = begin(folder, progress=told)
    policy = run.policy("nano")
    scripted = Scripted(policy, **script)
    run.engine = FakeEngine(scripted)
    config = settings(f"tasks={TASKS}", *changes)
    for _ in run.rounds(1):
        rows = evolved(run, policy, list(BOOK.values())[:8], config)
    run.journal.close()
    return rows, rounds(folder / "run", "evolution")[0], told.warnings, scripted


# a round ---------------------------------------------------------------------------------------------
def test_a_round_keeps_what_is_qualified_as_plain_answers(tmp_path):
    rows, told, warnings, scripted = round_of(tmp_path, refine="gold")
    assert (told["prompts"], told["kept"], told["refined"]) == (8, 8, 4)
    assert (told["first_accuracy"], told["yield"], told["purity"], told["fix"]) == (0.5, 1, 1, 1)
    assert told["generations"] == 4 * 2 + 4 * 4 == len(scripted.asked)
    assert (told["verdict_tpr"], told["verdict_fpr"], told["spoil"]) == (1, 0, None)
    assert warnings == []
    decoded = [scripted.policy.tokenizer.decode(r.tokens) for r in rows]
    tasks = list(BOOK.values())[:8]
    assert decoded == [f"{t.prompt}{t.solution}<|end|>" for t in tasks]
    for row, task in zip(rows, tasks, strict=True):
        assert not row.arrays["weight"][: len(str(task.prompt))].any()


def test_what_stays_wrong_is_dropped(tmp_path):
    rows, told, _, _ = round_of(tmp_path)
    assert (told["kept"], told["not_qualified"], told["purity"], len(rows)) == (4, 4, 1, 4)


def test_without_refinement_only_first_answers_count(tmp_path):
    _, told, _, scripted = round_of(tmp_path, ("refinements=0",), refine="gold")
    assert (told["kept"], told["refined"], told["generations"]) == (4, 0, 16)
    assert not any(t.endswith("refine\n") for t in scripted.asked)


def test_unparsable_feedback_drops_and_is_counted(tmp_path):
    rows, told, warnings, _ = round_of(tmp_path, critic="who knows")
    assert (rows, told["unparsable"], told["unparsable_feedback"]) == ([], 8, 16)
    assert any("no answer is approved of" in w for w in warnings)


def test_a_critic_that_accepts_all_is_told(tmp_path):
    rows, told, warnings, _ = round_of(tmp_path, critic="Verdict: right")
    assert (len(rows), told["purity"], told["filter_inactive"]) == (8, 0.5, True)
    assert any("filter is inactive" in w for w in warnings)


def test_gold_and_off_are_bounds(tmp_path):
    assert round_of(tmp_path / "a", ("verdicts=gold",), critic="Verdict: right")[1]["purity"] == 1
    assert round_of(tmp_path / "b", ("verdicts=off",), critic="Verdict: wrong", refine=BAD)[1]["kept"] == 8


# no label is used ------------------------------------------------------------------------------------
def test_prompts_are_asked_without_their_gold(tmp_path):
    asked = []
    run = begin(tmp_path)
    solve = run.solve
    run.solve = lambda policy, tasks, *a, **k: (asked.extend(tasks), solve(policy, tasks, *a, **k))[1]
    policy = run.policy("nano")
    run.engine = FakeEngine(Scripted(policy))
    for _ in run.rounds(1):
        evolved(run, policy, list(BOOK.values())[:4], settings(f"tasks={TASKS}"))
    assert len(asked) == 4
    for task in asked:
        for name in ("answer", "solution", "data"):
            with pytest.raises(GoldIsHidden):
                getattr(task, name)
        with pytest.raises(GoldIsHidden):
            SOURCE.verify(task, BAD)
    with pytest.raises(GoldIsHidden):
        PROGRAM.critique(hidden(list(BOOK.values())[:1])[0], BAD)


class Mislabelled:
    """The same source, which calls every answer to a prompt of the rounds wrong."""

    def __init__(self, source):
        self._source = source

    def __getattr__(self, name):
        return getattr(self._source, name)

    def verify(self, task, completion):
        return SOURCE.verify(task, "wrong")


@pytest.mark.parametrize("verdicts", ["own", "shuffled", "random", "off"])
def test_other_labels_give_the_same_rows(tmp_path, verdicts):
    found = []
    for name, made in (("a", SOURCE), ("b", Mislabelled(SOURCE))):
        run = begin(tmp_path / name, made=Made(sources={TASKS: made}))  # type: ignore[dict-item]
        policy = run.policy("nano")
        run.engine = FakeEngine(Scripted(policy, refine="gold"))
        for _ in run.rounds(1):
            rows = evolved(
                run, policy, list(BOOK.values())[:8], settings(f"tasks={TASKS}", f"verdicts={verdicts}")
            )
        found.append([r.tokens.tolist() for r in rows])
    assert found[0] == found[1] != []


# whole runs ------------------------------------------------------------------------------------------
@pytest.fixture
def learnt(monkeypatch):
    """(version that a training starts from, its moments, its rows by key), for each learn step."""
    seen = []
    learn = Run.learn

    def watched(self, state, data, config, **more):
        seen.append((state.policy.version, bool(state.moments), {r.key: r for r in data}))
        return learn(self, state, data, config, **more)

    monkeypatch.setattr(Run, "learn", watched)
    return seen


def run_of(tmp_path, *changes):
    # every answer is kept: untrained feedback has no verdict
    execute(NAME, settings(*SMALL, "verdicts=off", *changes), tmp_path / "run")
    return tmp_path / "run"


def lessons(rows):
    return {k for k in rows if k.startswith("lessons/")}


def test_every_round_restarts_from_the_start_model_on_all_so_far(learnt, tmp_path):
    place = run_of(tmp_path)
    start = next(iter(steps(place, "policy").values()))["result"]["version"]
    assert [version for version, _, _ in learnt] == [start] * 3
    assert not any(moments for _, moments, _ in learnt)
    meta, first, second = (rows for _, _, rows in learnt)
    assert lessons(first) == lessons(second) == set(meta)
    mine = [{k for k in rows if k not in lessons(rows)} for rows in (first, second)]
    assert mine[0] < mine[1]  # the union grows
    assert all(k.startswith("round-0001/") for k in mine[0])


def test_other_ways_to_train(learnt, tmp_path):
    run_of(tmp_path / "mixed", "strategy=mixed")
    mixed = list(learnt)
    assert len({version for version, _, _ in mixed}) == 3  # each goes on from the last
    assert lessons(mixed[2][2])
    assert any(k.startswith("round-0001/") for k in mixed[2][2])
    del learnt[:]
    run_of(tmp_path / "newest", "strategy=newest")
    assert not lessons(learnt[1][2])
    assert all(k.startswith("round-0002/") for k in learnt[2][2])


def test_alpha_weighs_and_removes_the_lessons(learnt, tmp_path):
    run_of(tmp_path / "half", "alpha=0.5", "rounds=1")
    _, _, rows = learnt[1]
    weights = {k: r.arrays["weight"].max() for k, r in rows.items()}
    assert {w for k, w in weights.items() if k in lessons(rows)} == {0.5}
    assert {w for k, w in weights.items() if k not in lessons(rows)} == {1.0}
    run_of(tmp_path / "none", "alpha=0", "rounds=1")
    assert not lessons(learnt[3][2])


def test_nothing_approved_of_trains_on_the_lessons_again(folder):
    told = rounds(folder, "evolution")
    assert [row["kept"] for row in told] == [0] * len(told)  # untrained feedback is unparsable
    assert all(line["result"]["rows"] == 16 for line in steps(folder, "learn").values())


def test_the_baseline_learns_the_refined_answers_of_the_lessons(learnt, tmp_path):
    run_of(tmp_path / "meta", "rounds=0")
    run_of(tmp_path / "qa", "rounds=0", "teach=qa")
    (_, _, meta), (_, _, qa) = learnt
    plain = {k: r for k, r in meta.items() if k.endswith("#direct")}
    assert {k: r.tokens.tolist() for k, r in plain.items()} == {k: r.tokens.tolist() for k, r in qa.items()}
    assert sum(r.weight for r in plain.values()) == sum(r.weight for r in qa.values()) > 0


def test_lessons_and_prompts_do_not_meet(tmp_path):
    run = begin(tmp_path)
    config = settings()
    taught, pool = dealt(run, config)
    assert (len(taught), len(pool)) == (config.lessons, config.pool)
    assert {t.id for t in taught}.isdisjoint(t.id for t in pool)


def test_its_own_prompts_are_new_questions(tmp_path):
    place = run_of(tmp_path, "prompts=own", "queries=8")
    (row,) = rounds(place, "invented")
    assert row["lines"] >= row["candidates"] >= row["kept"]
    asked = rounds(place, "evolution")
    assert asked[1]["prompts"] == (min(8, row["kept"]) or 8)


def test_ways_of_inference_tell_their_cost(folder):
    told = rounds(folder, "inference")
    stages = ["start"] * 2 + ["meta"] * 4 + ["round 1"] * 2 + ["round 2"] * 4
    assert [row["stage"] for row in told] == stages
    most = {"greedy": 1, "self_feedback": 3, "self_consistency:samples=2": 2}
    for row in told:
        assert row["questions"] == 2
        assert row["calls"] <= most.get(row["strategy"], 6)
        assert row["tokens"] > 0
    assert [row["stage"] for row in rounds(folder, "critic")] == list(dict.fromkeys(stages))
    for row in rounds(folder, "critic"):
        assert row["verdict_unparsable"] is not None


def test_every_stage_is_asked_alike(folder):
    """The same questions by the same laws and limits, whatever model answers: rows of a table compare."""
    seen: dict[str, list[dict]] = {}
    models = set()
    for key, line in steps(folder, "solve").items():
        if "inference " in key:
            way = key.split("/")[-2]
            models.add(line["inputs"]["policy"])
            seen.setdefault(way, []).append({k: v for k, v in line["inputs"].items() if k != "policy"})
    assert len(seen["greedy"]) == len(seen["self_feedback"]) == 4
    assert len(models) > 1
    for told in seen.values():
        assert all(inputs == told[0] for inputs in told)


def test_inference_measures_verdicts_and_refinements(tmp_path):
    run = begin(tmp_path)
    policy = run.policy("nano")
    config = settings(f"tasks={TASKS}", "inference=8")
    run.held_out = lambda exam: list(BOOK.values())[: exam.n]
    run.engine = FakeEngine(Scripted(policy, refine="gold"))
    inferred(run, policy, config, "meta", votes=False)
    run.journal.close()
    greedy, refined = rounds(tmp_path / "run", "inference")
    assert (greedy["accuracy"], greedy["calls"]) == (0.5, 1)
    assert (refined["accuracy"], refined["calls"]) == (1, 2.5)
    (critic,) = rounds(tmp_path / "run", "critic")
    assert (critic["verdict_tpr"], critic["verdict_fpr"], critic["fix"], critic["spoil"]) == (1, 0, 1, None)


# killed, and refused ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "before", ['"round-0001/solve:0', '"round-0002/learn:0"', '"round-0002/inference round 2/']
)
def test_killed_between_steps_it_ends_the_same(folder, tmp_path, before):
    cut_before(folder, tmp_path / "run", before)
    execute(NAME, settings(), tmp_path / "run", resume=True)
    assert compare_exact(folder, tmp_path / "run") == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("teach=qa",), "teach=qa does not teach"),
        (("verdicts=shufled",), "shuffled"),
        (("samples=2",), "samples"),
    ],
)
def test_wrong_settings_are_refused(changes, told):
    with pytest.raises(SharpenError, match=told):
        settings(*changes)


def test_questions_that_nobody_can_criticise_are_told_before_anything_is_written(tmp_path):
    with pytest.raises(SharpenError, match="take countdown or chain"):
        execute(NAME, settings("tasks=order:level=1"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_paper_is_in_its_defaults():
    config = Settings()
    assert (config.rounds, config.beta, config.alpha, config.refinements) == (3, 1, 1, 1)
    assert (config.strategy, config.verdicts, config.temperature) == ("restart", "own", 0.7)
    # no question is asked twice, nor is it one of the annotator's
    assert config.pool >= config.rounds * config.queries
