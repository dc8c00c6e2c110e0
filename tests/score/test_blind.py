"""A verifier that never sees the stated confidence."""

import pytest

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.blind import Blind
from sharpen.score.group import Group
from sharpen.score.verdict import Status
from sharpen.score.verify import answer_verifier, source_verifier
from sharpen.tasks.registry import make
from sharpen.verbs.asking import Reward
from sharpen.verbs.scoring import has_answer, named
from tests.scored import episode, task, verdict


def test_what_is_stated_beside_an_answer_changes_no_verdict():
    source = make("chain:level=1")
    chain = source.take("test", 1)[0]
    seeing, blind = source_verifier(source), named(Reward("stated:source"), source, 0)
    assert isinstance(blind, Blind)
    assert chain.solution is not None
    for stated in ("", "\nConfidence: 10%", "\nConfidence: 100%", "\n<confidence>5%</confidence>"):
        said = episode(chain.solution + stated, of=chain.id)
        assert blind(task=chain, episode=said).correct
        assert seeing(task=chain, episode=said).correct == (not stated)
    assert not blind(task=chain, episode=episode("Answer: -1\nConfidence: 100%", of=chain.id)).correct
    tagged = episode(f"<answer>{chain.answer}</answer>\n<confidence>80%</confidence>", of=chain.id)
    assert blind(task=chain, episode=tagged).correct


def test_names():
    source = make("chain:level=1")
    number = named(Reward("stated:number"), source, 0)
    assert number.name == "number"
    assert number.spec == {"verifier": "stated", "of": {"verifier": "number"}}
    assert number(task=task(answer="7"), episode=episode("Answer: 7\nConfidence: 80%")).correct
    assert named(Reward("stated"), source, 0).name == "chain"
    with pytest.raises(SharpenError, match="did you mean 'number'"):
        named(Reward("stated:numbr"), source, 0)
    for name in ("stated", "stated:source", "stated:number"):
        answered = has_answer(Reward(name), source=source)
        assert answered("Answer: 7\nConfidence: 80%")
        assert not answered("Confidence: 80%")


def test_a_verifier_that_prepares_is_handed_blinded_groups_and_closed():
    class Many:
        name, spec = "many", {}
        seen, closed = [], False

        def __call__(self, *, task, episode):
            return verdict(float(episode.text in self.seen))

        def prepare(self, groups):
            self.seen += [e.text for g in groups for e in g.episodes]

        def close(self):
            Many.closed = True

    said = episode("Answer: 7\nConfidence: 80%")
    blind = Blind(Many())
    blind.prepare([Group(task(), (said,))])
    assert Many.seen == ["Answer: 7"]
    assert blind(task=task(), episode=said).score == 1
    blind.close()
    assert Many.closed


def test_a_cut_text_is_still_cut():
    cut = episode("3+4", finish=Finish.LENGTH)
    assert Blind(answer_verifier("number"))(task=task(), episode=cut).status is Status.TRUNCATED
