"""Settings: overrides, files, round trips, and errors that name the nearest key."""

import dataclasses
import math
import tomllib
from enum import StrEnum
from typing import ClassVar, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field, field_validator, model_validator

from sharpen.errors import SharpenError
from sharpen.runs.config import Config, change, describe, load
from sharpen.runs.toml import dumps


class Kind(StrEnum):
    FULL = "full"
    LORA = "lora"


@dataclasses.dataclass(frozen=True)
class Law:
    temperature: float = 1.0
    top_k: int | None = None


class Optimizer(Config):
    """How weights move."""

    name: Literal["adamw", "sgd"] = "adamw"
    """Which optimizer."""
    learning_rate: float = Field(1e-3, gt=0)
    """Step size
    at the top of the schedule."""
    betas: tuple[float, float] = (0.9, 0.999)


class Demo(Config):
    TINY: ClassVar = {"rounds": 1, "optimizer.learning_rate": 0.5}

    rounds: int = Field(3, ge=1)
    """How many rounds."""
    model: str = "nano"
    samples: int | Literal["auto"] = 8
    kind: Kind = Kind.FULL
    clip: float | None = None
    note: str | None = None
    shuffle: bool = True
    grid: list[float] = Field([0.5, 1.0])
    stop: tuple[str, ...] = ()
    mix: dict[str, float] = Field({"chain": 1.0})
    law: Law = Law()
    optimizer: Optimizer = Optimizer()

    @field_validator("model")
    @classmethod
    def _no_url(cls, v: str) -> str:
        if "://" in v:
            raise ValueError("give a folder, not an address")
        return v

    @model_validator(mode="after")
    def _fits(self) -> "Demo":
        if self.rounds > 1000 and self.shuffle:
            raise ValueError("rounds above 1000 need shuffle = false")
        return self


def said(*overrides, cls=Demo, **kw) -> str:
    with pytest.raises(SharpenError) as e:
        load(cls, overrides=overrides, **kw)
    text = str(e.value)
    assert "\n" not in text
    return text


def test_overrides_are_read_by_the_type_of_their_field():
    c = load(
        Demo,
        overrides=[
            "rounds=1e2",
            "model=my model, v2",
            "samples=auto",
            "kind=lora",
            "clip=1",
            "shuffle=no",
            "grid=[1, 2.5,1e-3]",
            'stop=[a b, "c, d"]',
            "mix.logic=0.25",
            "law.top_k=40",
            "optimizer.betas=[0.8, 0.9]",
            "optimizer.name=sgd",
        ],
    )
    assert (c.rounds, c.model, c.samples, c.kind, c.clip) == (100, "my model, v2", "auto", Kind.LORA, 1.0)
    assert c.shuffle is False
    assert c.grid == [1.0, 2.5, 1e-3]
    assert c.stop == ("a b", "c, d")
    assert c.mix == {"logic": 0.25}
    assert c.law == Law(1.0, 40)
    assert c.optimizer.betas == (0.8, 0.9)
    assert c.optimizer.name == "sgd"
    assert c.optimizer.learning_rate == 1e-3


def test_text_stays_text_where_text_is_wanted():
    assert load(Demo, overrides=["model=007"]).model == "007"
    assert load(Demo, overrides=["model=true"]).model == "true"
    assert load(Demo, overrides=["model=a=b"]).model == "a=b"
    assert load(Demo, overrides=['model=" x "']).model == " x "
    assert load(Demo, overrides=["samples=16"]).samples == 16


def test_the_later_override_wins_and_a_file_comes_before(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('rounds = 7\nmodel = "big"\n[optimizer]\nlearning_rate = 0.1\n')
    c = load(Demo, file, ["rounds=8", "rounds=9"], tiny=True)
    assert (c.rounds, c.model, c.optimizer.learning_rate) == (9, "big", 0.1)


class Gentle(Config):
    optimizer: Optimizer = Optimizer(learning_rate=1e-5, betas=(0.5, 0.6))
    deep: Demo = Demo(rounds=9, optimizer=Optimizer(name="sgd"))


def test_one_nested_setting_leaves_the_others_as_their_owner_has_them(tmp_path):
    config = load(Gentle, None, ["optimizer.name=sgd", "deep.optimizer.learning_rate=2"])
    assert config.optimizer == Optimizer(name="sgd", learning_rate=1e-5, betas=(0.5, 0.6))
    assert config.deep == Demo(rounds=9, optimizer=Optimizer(name="sgd", learning_rate=2.0))
    file = tmp_path / "some.toml"
    file.write_text("[optimizer]\nname = 'sgd'\n")
    assert load(Gentle, file).optimizer == config.optimizer
    assert Gentle(optimizer={"name": "sgd"}).optimizer == config.optimizer  # type: ignore[arg-type]
    assert load(Gentle, file).deep == Gentle().deep


def test_tiny_changes_only_what_it_names():
    c = Demo.tiny()
    assert (c.rounds, c.optimizer.learning_rate) == (1, 0.5)
    assert c.model_copy(update={"rounds": 3, "optimizer": Optimizer()}) == Demo()


def test_none_is_a_word_where_none_is_allowed():
    c = load(Demo, overrides=["clip=1.5", "clip=none", "note=none", "model=none"])
    assert c.clip is None
    assert c.note is None
    assert c.model == "none"


def test_an_unknown_key_names_the_nearest():
    assert "unknown key 'round': did you mean 'rounds'?" in said("round=3")
    assert "did you mean 'optimizer.learning_rate'?" in said("optimizer.lerning_rate=1")
    assert "did you mean 'optimizer.learning_rate'?" in said("learning_rate=1")  # right name, wrong place
    assert "did you mean 'law.temperature'?" in said("law.temprature=1")
    assert "unknown key 'rounds.x'" in said("rounds.x=1")


def test_an_unknown_key_in_a_file_names_the_nearest(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[optimizer]\nlerning_rate = 0.1\n")
    assert "unknown key 'optimizer.lerning_rate'" in said(file=file)
    file.write_text("[law]\ntop_kk = 3\n")
    assert "unknown key 'law.top_kk': did you mean 'law.top_k'?" in said(file=file)
    file.write_text("rounds = \n")
    assert "c.toml" in said(file=file)
    assert "gone.toml" in said(file=tmp_path / "gone.toml")


def test_a_wrong_value_names_key_value_and_what_is_allowed():
    text = said("rounds=many")
    assert "rounds" in text
    assert "'many'" in text
    assert "an integer >= 1" in text
    assert "rounds = 0 is not allowed: an integer >= 1" in said("rounds=0")
    assert "rounds = 2.5 " in said("rounds=2.5")
    assert "did you mean 'adamw'?" in said("optimizer.name=adamm")
    assert "did you mean 'lora'?" in said("kind=lorra")
    assert "optimizer.learning_rate = -1.0" in said("optimizer.learning_rate=-1")
    assert "a list" in said("grid=3")
    assert "give a folder" in said("model=http://x")
    assert said("rounds=2000") == "rounds above 1000 need shuffle = false"
    assert "write key=value" in said("rounds")


def test_a_missing_key_is_named():
    class Needs(Config):
        task: str

    assert "key 'task' is missing" in said(cls=Needs)
    assert "unknown key 'tsak': did you mean 'task'?" in said("tsak=1", cls=Needs)


def test_describe_gives_every_setting_with_its_help():
    rows = {r.key: r for r in describe(Demo)}
    assert list(rows)[:2] == ["rounds", "model"]
    assert rows["rounds"] == ("rounds", "an integer >= 1", "3", "How many rounds.")
    assert rows["optimizer.learning_rate"].doc == "Step size at the top of the schedule."
    assert rows["optimizer.name"].type == "one of 'adamw', 'sgd'"
    assert rows["clip"].type == "a number or none"
    assert rows["clip"].default == "none"
    assert set(rows) >= {"law.temperature", "law.top_k", "mix"}


def test_describe_shows_the_default_of_the_nested_object():
    class Other(Config):
        optimizer: Optimizer = Optimizer(learning_rate=0.25)

    assert {r.key: r.default for r in describe(Other)}["optimizer.learning_rate"] == "0.25"


def test_digest_follows_the_values_and_not_how_they_came():
    assert load(Demo, overrides=["rounds=4"]).digest == change(Demo(), ["rounds=4"]).digest
    assert load(Demo, overrides=["rounds=4"]).digest != Demo().digest
    assert len(Demo().digest) == 16


def test_settings_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        Demo().rounds = 4  # type: ignore[misc]


numbers = st.floats(allow_nan=False)
text = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        Demo,
        rounds=st.integers(1, 1000),
        model=text.filter(lambda t: "://" not in t),
        samples=st.one_of(st.integers(), st.just("auto")),
        kind=st.sampled_from(Kind),
        clip=st.none() | numbers,
        note=st.none() | text.filter(lambda t: t != "none"),
        shuffle=st.booleans(),
        grid=st.lists(numbers),
        stop=st.lists(text).map(tuple),
        mix=st.dictionaries(text, numbers),
        law=st.builds(Law, numbers, st.none() | st.integers()),
    )
)
@settings(max_examples=60, deadline=None)
def test_toml_round_trip(tmp_path_factory, config):
    file = tmp_path_factory.getbasetemp() / "round_trip.toml"
    file.write_text(config.to_toml(), "utf-8")
    again = load(Demo, file)
    assert again == config
    assert again.to_toml() == config.to_toml()
    assert again.digest == config.digest


@given(text.filter(lambda t: t.strip()[:1] not in ("'", '"')))
@example("</think>\n\n")
@example(" ")
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_given_as_an_override(t):
    if "://" not in t:
        assert load(Demo, overrides=[f"model={t}"]).model == t


def test_flatten_uses_dotted_keys():
    flat = load(Demo, overrides=["law.top_k=3"]).flatten()
    assert flat["law.top_k"] == 3
    assert flat["optimizer.name"] == "adamw"
    assert flat["mix.chain"] == 1.0


json_like = st.recursive(
    st.booleans() | st.integers() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(text, json_like, max_size=4))
@settings(max_examples=80, deadline=None)
def test_the_toml_writer_is_read_back_by_the_standard_library(values):
    assert tomllib.loads(dumps(values)) == values


def test_the_toml_writer_knows_infinity():
    assert math.isinf(tomllib.loads(dumps({"x": float("inf")}))["x"])
    with pytest.raises(TypeError):
        dumps({"x": None})
