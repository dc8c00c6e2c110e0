"""Tables of groups made from other tables."""

from __future__ import annotations

from sharpen.score.group import Groups, Unit
from tests.scored import scored, verdict


def test_joined_tables_keep_their_order_and_their_verdicts():
    loads: list[int] = []

    def unit(name: str) -> Unit:
        held = [scored(name, [1.0, 0.0])]

        def whole():
            loads.append(1)
            return held

        return Unit(1, lambda: [g.columns() for g in held], whole)

    first, second = Groups.from_units([unit("a"), unit("b")]), Groups.from_units([unit("c")])
    judged = second.with_verdicts([[verdict(0.25), verdict(0.5)]])
    both = Groups.joined([first, judged])
    assert [t.id for t in both.tasks] == ["a", "b", "c"]
    assert [s.tolist() for s in both.scores] == [[1.0, 0.0], [1.0, 0.0], [0.25, 0.5]]
    assert loads == []  # columns alone
    assert [v.score for v in both[2].columns().judged] == [0.25, 0.5]
    assert both[2].episodes == second[0].episodes
