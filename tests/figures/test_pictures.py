"""Live pictures of single ideas as Python gives them to a page; tests/test_live.py asks a browser what they do."""

import json
import re

import numpy as np
import pytest

from icl_nb.figures import pictures
from icl_nb.figures.live import PARTS, Live, module
from tools.live import renew

NOISE, LABELS = np.random.default_rng(0).normal(size=(60, 2)), np.repeat(np.arange(3), 20)
TOKENS, SETS = [0, 1, 2, 0, 1, 2], [(0,), (1,), (0, 1)]
RUN = {"step": [0, 9], "copying": np.ones((2, 3, 3)) / 3, "selection": np.ones((2, 3)) / 3, "sharpness": [0, 1 / 3]}
REGIMES = {"growth": (0.3, 0.5, 0.25, 0.1)}
ORDERS = np.array([[1, 0, 2, 4, 3]] * 10)
CHAIN = {"tokens": TOKENS, "lags": (1,), "kernel": np.full((3, 3), 1 / 3)}
MADE = {
    "averaging": lambda **wrong: pictures.averaging(
        **{"matrix": np.eye(5), "orders": ORDERS, "n_features": 3, "alt": "A <cloud>."} | wrong
    ),
    "tilt": lambda **wrong: pictures.tilt(**{"noise": NOISE, "alt": "A <cloud>."} | wrong),
    "drift": lambda **wrong: pictures.drift(
        **{"noise": NOISE, "shuffled": LABELS, "regimes": REGIMES, "alt": "A <cloud>."} | wrong
    ),
    "counting": lambda **wrong: pictures.counting(**{"chains": {"one": CHAIN}, "alt": "A <cloud>."} | wrong),
    "induction": lambda **wrong: pictures.induction(
        **{"tokens": TOKENS, "subsets": SETS, "runs": {"one": RUN}, "alt": "A <cloud>."} | wrong
    ),
}


def data(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL).group(1))


@pytest.mark.parametrize("name", MADE)
def test_page_is_the_same_each_time_and_alone(name):
    html = MADE[name]().to_html()
    assert html == MADE[name]().to_html()
    without = html.replace(module(name), "").replace('"http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|src=|href=|url\(|@import|fetch\(|\bid=", without)
    assert html.count("<script") == html.count("</script>") == 3
    assert 'aria-label="A &lt;cloud&gt;."' in html and data(html)["kind"] == name


@pytest.mark.parametrize("name", MADE)
def test_an_old_module_is_seen(name):
    html = MADE[name]().to_html()
    assert renew(html) == html
    assert renew(html.replace("makeCore", "makeKernel")) == html


def test_a_picture_carries_no_more_than_it_needs():
    assert all(len(module(name)) < 33_000 < len(module("recursion")) for name in MADE)
    assert set(MADE) == {kind for kind, parts in PARTS.items() if "live" in parts}


def test_there_is_no_other_kind():
    with pytest.raises(ValueError, match="must be one of"):
        Live("film", {}, {}, "", "")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("averaging", {"matrix": np.eye(4)}),
        ("averaging", {"matrix": np.full((5, 5), np.nan)}),
        ("averaging", {"n_features": 1}),
        ("averaging", {"n_features": 4}),
        ("averaging", {"orders": ORDERS[:9]}),
        ("averaging", {"orders": ORDERS[:, [0, 1, 3, 2, 4]]}),
        ("averaging", {"orders": ORDERS * 0}),
        ("tilt", {"noise": NOISE[:9]}),
        ("tilt", {"noise": NOISE[:, :1]}),
        ("tilt", {"noise": NOISE * np.nan}),
        ("tilt", {"query": [1.0]}),
        ("tilt", {"query": [5.0, 0.0]}),
        ("drift", {"noise": NOISE[:, :1]}),
        ("drift", {"noise": NOISE[:59], "shuffled": LABELS[:59]}),
        ("drift", {"shuffled": LABELS * 0}),
        ("drift", {"regimes": {}}),
        ("drift", {"regimes": {"growth": (1.0,)}}),
        ("counting", {"chains": {}}),
        ("counting", {"chains": {"one": CHAIN | {"tokens": TOKENS[:5]}}}),
        ("counting", {"chains": {"one": CHAIN, "two": CHAIN | {"tokens": [*TOKENS, 0]}}}),
        ("counting", {"chains": {"one": CHAIN | {"tokens": [0, 1, 2, 3, 0, 1]}}}),
        ("counting", {"chains": {"one": CHAIN | {"lags": (4,)}}}),
        ("counting", {"chains": {"one": CHAIN | {"lags": (2, 1)}}}),
        ("counting", {"chains": {"one": CHAIN | {"lags": (1, 2)}}}),
        ("counting", {"chains": {"one": CHAIN | {"kernel": np.ones((3, 3))}}}),
        ("counting", {"window": 4}),
        ("counting", {"concentration": 0.0}),
        ("induction", {"tokens": [0, 1, 2]}),
        ("induction", {"tokens": [0, 1, 2, 3]}),
        ("induction", {"tokens": [0.0, 1.0, 2.0, 0.0]}),
        ("induction", {"lags": ()}),
        ("induction", {"lags": (1, 5)}),
        ("induction", {"subsets": []}),
        ("induction", {"subsets": [()]}),
        ("induction", {"subsets": [(0, 3)]}),
        ("induction", {"runs": {"one": RUN | {"sharpness": [0]}}}),
    ],
)
def test_what_does_not_fit_is_refused(name, wrong):
    with pytest.raises(ValueError, match="must"):
        MADE[name](**wrong)


def test_a_film_holds_the_run():
    given = data(MADE["induction"]().to_html())["given"]["runs"]["one"]
    assert given["step"] == RUN["step"] and given["sharpness"] == [0.0, 0.3333]
    assert np.shape(given["copying"]) == (2, 3, 3) and np.shape(given["selection"]) == (2, 3)
