"""Products with large weights: the same numbers to rounding, and a row's bits whatever stands beside it."""

import gc
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sharpen.runs.streams import stream
from sharpen.sample import products
from sharpen.sample.native import NativeEngine
from sharpen.sample.products import Product, laid_out
from tests.sample.test_conformance import same
from tests.sample.test_native import LONG, MIXED, requests
from tests.shapes import SHAPES, tiny

pytestmark = pytest.mark.skipif(not products.available(), reason="torch has no oneDNN here")


@pytest.fixture
def all_of_them(monkeypatch):
    monkeypatch.setattr(products, "LEAST", 1)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(256, 672), (640, 2048), (300, 99)])
def test_a_product_is_torchs_and_its_rows_do_not_feel_each_other(inputs, outputs, bias, two_threads):
    draw = torch.Generator().manual_seed(0)
    x, w, b = (
        torch.randn(*shape, generator=draw) for shape in ((200, inputs), (outputs, inputs), (outputs,))
    )
    product = Product(w, b if bias else None)
    whole = product(x)
    torch.testing.assert_close(whole, F.linear(x, w, b if bias else None), rtol=1e-4, atol=1e-4)
    assert torch.equal(product(x.view(4, 50, inputs)), whole.view(4, 50, outputs))
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for rows in (2, 7, 8, 24, 64, 136):
            assert torch.equal(product(x[:rows].contiguous()), whole[:rows])


def test_a_laid_out_model_shares_its_tensors_and_leaves_the_given_one_alone(all_of_them):
    module = tiny("llama").module()
    copied = laid_out(module)
    assert not any(isinstance(m, Product) for m in module.modules())
    assert sum(isinstance(m, Product) for m in copied.modules()) == sum(
        isinstance(m, torch.nn.Linear) for m in module.modules()
    )
    given = dict(module.named_parameters(remove_duplicate=False))
    found = dict(copied.named_parameters(remove_duplicate=False))
    assert found.keys() == given.keys()
    assert all(found[name] is given[name] for name in given)


def test_small_models_stay_as_they_are(monkeypatch):
    module = tiny("llama").module()
    assert laid_out(module) is module
    monkeypatch.setattr(products, "LEAST", 1)
    monkeypatch.setattr(products, "available", lambda: False)
    assert laid_out(module) is module


@pytest.mark.parametrize("least", [1, products.LEAST])
def test_an_engine_keeps_no_policy_alive(least, monkeypatch):
    monkeypatch.setattr(products, "LEAST", least)
    engine, kept = NativeEngine(), tiny("llama")
    policy = kept.with_weights(kept.weights, "another")
    engine.generate(policy, requests(8))
    module = weakref.ref(policy.module())
    del policy
    gc.collect()
    assert module() is None


@pytest.mark.parametrize("shape", SHAPES)
def test_bits_do_not_depend_on_the_batch_where_every_product_is_laid_out(shape, all_of_them):
    policy = tiny(shape)
    asked = requests(48, MIXED, samples=6, lengths=LONG)
    want = NativeEngine().generate(policy, asked, batch=48)
    order = stream("order").generator().permutation(48)
    for batch, chosen in ((7, order), (1, range(0, 48, 9))):
        got = NativeEngine().generate(policy, [asked[i] for i in chosen], batch=batch)
        for i, completion in zip(chosen, got, strict=True):
            same(completion, want[i])


@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_are_those_of_torchs_products_to_rounding(shape, all_of_them):
    policy = tiny(shape)
    texts = [np.concatenate([r.tokens, r.tokens[::-1]]) for r in requests(8)]
    plain = NativeEngine(lay_out=False).annotate(policy, texts)
    for a, b in zip(plain, NativeEngine().annotate(policy, texts), strict=True):
        for name in ("raw_logprobs", "entropy", "certainty"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-4, atol=1e-4)
