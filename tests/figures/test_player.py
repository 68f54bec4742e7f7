"""The film of a task: is it whole, the same each time, and asks for nothing from elsewhere?"""

import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest

from icl_nb.figures import CORNERS, player, scalar_table

LEVELS, N = 4, 6
random = np.random.default_rng(0)
TOKENS = random.normal(size=(LEVELS, N + 1, 5))
Y = np.array([0, 1, 2, 0, 1, -1])
ATTENTION = random.dirichlet(np.ones(N), LEVELS - 1)
CAPTIONS = [f"after layer {level}" for level in range(LEVELS)]


def film(tokens=TOKENS, y=Y, attention=ATTENTION, captions=CAPTIONS, alt="A task & its <film>.", **name):
    return player(tokens, y, attention, captions, alt=alt, **name)


def test_player_is_the_same_each_time_and_alone():
    html = film(name="plane")
    assert html == film(name="plane")
    assert 'id="plane"' in html and 'getElementById("plane")' in html
    assert not re.search(r"https?:|src=|href=|url\(|@import|fetch\(|import\(", html)
    assert len(html) < 20_000


def test_player_shows_every_point_twice_and_a_line_each():
    html = film()
    svgs = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
    assert [svg.get("role") for svg in svgs] == ["img"] * 2
    assert [svg.get("aria-label") for svg in svgs] == [
        "features x: A task & its <film>.",
        "label blocks u: A task & its <film>.",
    ]
    assert len(svgs[0].find(".//g[@class='lines']")) == N and svgs[1].find(".//g[@class='lines']") is None
    assert [len(svg.find(".//g[@class='marks']")) for svg in svgs] == [N + 1] * 2


def test_player_takes_the_colours_of_the_page():
    assert not re.search(r"#(?:fff|000|222)\b(?!\))", film())


def test_player_can_be_used_by_everyone():
    html = film()
    assert "prefers-reduced-motion" in html
    assert 'aria-label="layers passed"' in html
    assert "aria-valuetext" in html
    assert "autoplay" not in html


def test_player_keeps_proportions():
    """Places in the picture are places of the tokens, one scale for all levels, to a tenth of a pixel."""
    at = np.array(re.search(r'"at":(\[.*?\]),"wide"', film()).group(1).replace("[", " ").replace("]", " ").split(","))
    at = at.astype(float).reshape(LEVELS, 2, N + 1, 2)
    for panel, truth in enumerate([TOKENS[..., :2], TOKENS[..., 2:] @ CORNERS]):
        shown = at[:, panel] - 150
        ratio = shown / (truth * [1, -1])
        assert np.abs(shown - truth * [1, -1] * np.median(ratio)).max() <= 0.1
        assert np.abs(shown).max() <= 140


def test_player_cannot_be_left_by_a_caption():
    html = film(captions=["</script><b>", *CAPTIONS[1:]], alt="DATA and </svg>")
    assert (html.count("</script>"), html.count("</svg>")) == (1, 2)
    assert 'DATA and &lt;/svg&gt;"' in html


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": TOKENS[:, :-1]},
        {"tokens": TOKENS[..., :4]},
        {"attention": ATTENTION[1:]},
        {"captions": CAPTIONS[1:]},
        {"name": "no good"},
    ],
)
def test_player_refuses(wrong):
    with pytest.raises(ValueError, match=r"do not fit|must be of"):
        film(**wrong)


def test_scalar_table_writes_every_number_but_the_idle_one():
    rows = np.array([[0.1, -2.5, 1.0, 0.04], [1.0, 2.0, 7.0, -3.0]])
    _, ax = plt.subplots()
    scalar_table(ax, rows, notes="RO")
    written = [text.get_text() for text in ax.texts]
    assert written == ["0.1", "-2.5", "1.0", "0.0", "1.0", "2.0", "-3.0", "R", "O"]
    assert ax.images[0].get_array()[1, 2] == 0 and rows[1, 2] == 7  # the caller's table is left alone
    plt.close()
