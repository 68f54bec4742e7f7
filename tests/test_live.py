"""The live pictures of single ideas, in a real browser: do they obey, and do they compute what the package computes?

Where there is no browser these tests are skipped, and say so; where ICL_NB_BROWSER=required, that is a failure.
"""

import itertools
import json
import os
import re
from urllib.parse import quote

import numpy as np
import pytest
import torch

from icl_nb.figures import pictures
from icl_nb.figures.live import PARTS, module
from icl_nb.induction import (
    Chains,
    InductionTransformer,
    MarkovTask,
    generalized_induction_head,
    log_losses,
    match_counts,
    posterior_predictive,
    true_conditional,
)
from icl_nb.interpret import separation as sep
from icl_nb.models.files import load, load_history
from icl_nb.recursion import Recursion
from icl_nb.symmetry import assemble, coordinates, group_average, project
from tools import browser as look

REQUIRED = os.environ.get("ICL_NB_BROWSER") == "required"
pytestmark = pytest.mark.skipif(
    not REQUIRED and not look.chromium(), reason="no Chromium found (install it, or name it in CHROMIUM)"
)

RANDOM = np.random.default_rng(0)
REGIMES = {"growth": (0.3, 0.5, 0.25, 0.1), "stall": (-0.6, 1.0, 1.0, 0.0), "oscillation": (-0.6, 1.0, 3.3, 0.0)}
TOKENS = RANDOM.integers(0, 3, 41)
SETS = InductionTransformer().subsets
LABELS = RANDOM.permutation(np.repeat(np.arange(3), 15))
ORDERS = np.array([np.r_[RANDOM.permutation(5), 5 + RANDOM.permutation(3)] for _ in range(300)])
MATRIX = RANDOM.normal(size=(8, 8)).round(2)


def chain(lags, seed=0) -> dict:
    """One sequence with its kernel, the answer as its last token."""
    drawn = MarkovTask(lags=lags, length=60).sample(1, seed=seed)
    tokens = [*drawn.tokens[0].tolist(), drawn.answer.item()]
    return {"tokens": tokens, "lags": lags, "kernel": drawn.kernel[0].numpy()}


CHAINS = {"lags 1, 2": chain((1, 2)), "lag 2": chain((2,), seed=1), "lags 1, 2, 3": chain((1, 2, 3), seed=2)}
PICTURES = {
    "averaging": pictures.averaging(MATRIX, ORDERS, 5, alt="A matrix, and its mean."),
    "tilt": pictures.tilt(RANDOM.normal(size=(420, 2)), alt="A cloud of points, and a query."),
    "drift": pictures.drift(RANDOM.normal(size=(45, 2)), LABELS, REGIMES, alt="Three classes of points."),
    "counting": pictures.counting(CHAINS, alt="A sequence of 61 tokens."),
    "induction": pictures.induction(TOKENS, SETS, alt="A sequence of 41 tokens."),
    "film": pictures.induction(TOKENS, SETS, runs={"joint": load_history("joint-0")}, alt="A sequence of 41 tokens."),
}
PAGE = (
    "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    "<title>t</title><style>@media(prefers-color-scheme:dark){body{background:#121212;color:#ced6dd}}</style></head>"
    "<body><main><article><h1>t</h1>BODY</article></main></body></html>"
)


@pytest.fixture(scope="module")
def chromium():
    sync_api = (
        pytest.importorskip("playwright.sync_api") if not REQUIRED else __import__("playwright.sync_api").sync_api
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.chromium(), args=look.FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(chromium, tmp_path):
    """A page with one picture, from a file."""
    contexts = []

    def new(name, width=1280, html=None, **options):
        path = tmp_path / "page.html"
        path.write_text(PAGE.replace("BODY", html or PICTURES[name].to_html()), encoding="utf-8")
        contexts.append(chromium.new_context(viewport={"width": width, "height": look.WIDTHS[width]}, **options))
        contexts[-1].set_default_timeout(180_000)  # machines that do other work as well
        page = contexts[-1].new_page()
        page.faults, page.folder = look.Watch(page, tmp_path.resolve().as_uri()).faults, tmp_path.resolve()
        page.goto(path.resolve().as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector(".icl-live[data-milliseconds]")
        return page

    yield new
    for context in contexts:
        context.close()


def numbers(page, name) -> np.ndarray:
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    return np.array(page.get_attribute(".icl-live", f"data-{name}").split(), float)


def turn(page, name, value):
    """Set a slider as a reader would, and let the page know."""
    page.locator(f".icl-live input[name={name}]").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true}));"
        " e.dispatchEvent(new Event('change', {bubbles: true})); }",
        value,
    )


# What all have in common


@pytest.mark.parametrize("width", look.WIDTHS)
@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", PICTURES)
def test_in_order(show, name, width, mode):
    page = show(name, width=width, color_scheme=mode)
    assert page.faults + look.layout_faults(page, phone=width < 600) + look.access_faults(page) == []
    small = page.evaluate(
        "[...document.querySelectorAll('.icl-live *')].filter(e => e.childNodes.length === 1 && e.firstChild.data"
        " && e.tagName !== 'STYLE' && parseFloat(getComputedStyle(e).fontSize) < 11).length"
    )
    assert small == 0


@pytest.mark.parametrize("name", PICTURES)
def test_keys_move_every_knob_and_reset_takes_it_back(show, name):
    page = show(name)
    before = page.inner_html(".icl-live")
    for slider in page.query_selector_all(".icl-live input[type=range]"):
        was = slider.get_attribute("aria-valuetext")
        slider.focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
        if slider.get_attribute("aria-valuetext") == was:  # it stood at its low end
            page.keyboard.press("ArrowRight")
        page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
        assert slider.get_attribute("aria-valuetext") != was
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.get_by_text("Reset").click()
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert page.inner_html(".icl-live") == before
    assert page.faults == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_drag_keeps_up(show, name):
    """Half of the frames of a drag or more take less than 16 ms: not all, for machines do other work as well."""
    page, times = show(name), []
    slider = page.query_selector_all(".icl-live input[type=range]")[0].bounding_box()
    x, y = slider["x"] + slider["width"] / 2, slider["y"] + slider["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(20):
        page.mouse.move(x + 2 * step, y)
        page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
        times.append(float(page.get_attribute(".icl-live", "data-milliseconds")))
    page.mouse.up()
    assert np.median(times) < 16, times


@pytest.mark.parametrize("name", PICTURES)
def test_still_without_script(show, name):
    page = show(name, java_script_enabled=False)
    assert page.query_selector(".icl-explorer svg[role=img]").is_visible()
    assert "given" not in page.inner_text("body")


def test_film_obeys_those_who_want_no_motion(show):
    page, seen = show("drift", reduced_motion="reduce"), set()
    page.get_by_text("Play").click()
    for _ in range(12):
        page.wait_for_timeout(100)
        seen.add(float(page.input_value("input[aria-label='Layers passed']")))
    assert all(level == round(level) for level in seen)
    page = show("drift")
    page.wait_for_timeout(300)
    assert page.input_value("input[aria-label='Layers passed']") == "0"  # nothing moves unasked
    page.get_by_text("Play").click()
    page.wait_for_function("document.querySelector('input[aria-label=\"Layers passed\"]').value > 0.5")
    page.get_by_text("Pause").click()
    assert page.faults == []


LINKED = """async ([module, data]) => {
  const {default: widget} = await import(URL.createObjectURL(new Blob([module], {type: "text/javascript"})));
  const listeners = [], saved = [];
  window.model = {
    saved, get: key => data[key], set: (key, value) => { data[key] = value; }, on: (event, f) => listeners.push(f),
    save_changes: () => saved.push(structuredClone(data.state)),
    send: state => { data.state = state; listeners.forEach(f => f()); },
  };
  window.stop = widget.render({model, el: document.body});
}"""


def test_widget_is_linked_both_ways(chromium):
    """As anywidget calls it: what the reader does reaches the model, and what Python sets reaches the picture."""
    page = chromium.new_page()
    page.evaluate(LINKED, [module("tilt"), PICTURES["tilt"].widget.get_state(["kind", "given", "state"])])
    page.focus("svg[role=application]")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("model.saved.length && model.saved.at(-1).query[0] === 1.1")
    page.evaluate("model.send({...structuredClone(model.get('state')), alpha: 0})")
    assert numbers(page, "limit") == pytest.approx([0, 0])
    page.evaluate("stop()")
    page.close()


@pytest.mark.parametrize("kind", PARTS)
def test_no_text_ends_the_script_or_asks_for_anything(kind):
    assert "</" not in module(kind)
    assert not re.search(r"https?:|import\(|fetch\(|@import", module(kind).replace('"http://www.w3.org/2000/svg"', ""))


# A state shared by its address


@pytest.mark.parametrize("name", PICTURES)
def test_an_address_brings_the_state_back(show, name):
    page = show(name)
    page.evaluate("navigator.clipboard && (navigator.clipboard.writeText = async text => { window.copied = text; })")
    for slider in page.query_selector_all(".icl-live input[type=range]"):
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
    for box in page.query_selector_all(".icl-live select"):
        options = [option.get_attribute("value") for option in box.query_selector_all("option")]
        box.select_option(options[-1])
    page.get_by_text("Share", exact=True).click()
    page.wait_for_function("document.querySelector('.said').innerText.includes('The address')")
    address, kind = page.evaluate("location.hash"), PICTURES[name].kind
    assert address.startswith(f"#{kind}=%7B%22")
    seen = "document.querySelector('.icl-live').innerHTML.replace(/ ?The address[^<]*/, '')"
    before = page.evaluate(seen)
    page.goto("about:blank")
    page.goto((page.folder / "page.html").as_uri() + address)
    page.wait_for_selector(".icl-live[data-milliseconds]")
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert page.evaluate(seen) == before
    page.get_by_text("Reset").click()
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert page.evaluate(seen) != before
    page.evaluate("async hash => { location.hash = ''; await 0; location.hash = hash; }", address)
    page.wait_for_timeout(200)
    assert page.evaluate(seen) == before
    assert page.faults == []


def test_an_address_that_no_picture_wrote_changes_nothing(show):
    page = show("tilt")
    before = page.inner_html(".icl-live")
    for wrong in ('{"alpha": 4}', '{"alpha": "1"}', '{"query": [1]}', '{"query": [1e9, 0]}', '{"n": 7}', "null", "{",
                  '{"toString": 1}', '{"beta": null}', '{"noise": []}'):  # fmt: skip
        page.evaluate("hash => { location.hash = hash; }", f"#tilt={quote(wrong)}")
        page.wait_for_timeout(60)
        assert page.inner_html(".icl-live") == before, wrong
    page.evaluate("hash => { location.hash = hash; }", "#tilt=" + quote('{"query": [9, 0]}'))  # to the edge
    page.wait_for_function("document.querySelector('.said').innerText.includes('(2.80, 0.00)')")
    assert page.faults == []


# The query and the cloud


def grip(page, point, reach=4.5) -> tuple[float, float]:
    box = page.query_selector(".icl-live svg[role=application]").bounding_box()
    return (
        box["x"] + box["width"] * (point[0] + reach) / (2 * reach),
        box["y"] + box["height"] * (reach - point[1]) / (2 * reach),
    )


def test_query_by_mouse_and_touch(show):
    page = show("tilt")
    page.mouse.move(*grip(page, (1.2, 0.5)))
    page.mouse.down()
    page.mouse.move(*grip(page, (-2, 1)), steps=5)
    page.mouse.up()
    assert numbers(page, "limit") == pytest.approx([-1.4, 0.7], abs=0.04)  # a pixel is three hundredths
    page = show("tilt", width=390, has_touch=True, is_mobile=True)
    session, (x, y) = page.context.new_cdp_session(page), grip(page, (1.2, 0.5))
    for kind, points in (("Start", (0,)), ("Move", (20,)), ("Move", (60,)), ("End", ())):
        points = [{"x": x, "y": y + dy} for dy in points]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    assert numbers(page, "limit")[1] < 0 and page.evaluate("scrollY") == 0  # the finger moved the query, not the page
    assert page.faults == []


ASK = """async ([module, cases]) => {
  const {core} = await import(URL.createObjectURL(new Blob([module], {type: "text/javascript"})));
  return cases.map(([name, ...given]) => core[name](...given));
}"""


def ask(page, kind, *cases):
    return page.evaluate(ASK, [module(kind), json.loads(json.dumps(cases))])


V = np.sqrt(2 / 3) * np.array([[0.0, 1.0], [-(3**0.5) / 2, -0.5], [3**0.5 / 2, -0.5]])


def tilt_difference(page, change=0.0) -> float:
    """Largest difference of attention, limit, covariance and points read from the package's, over twenty settings."""
    random, worst = np.random.default_rng(1), 0.0
    for _ in range(20):
        noise, query = random.normal(size=(60, 2)), random.normal(size=2)
        alpha, beta, apart, own = random.normal(), 3 * random.random(), 2 * random.random(), int(random.integers(-1, 3))
        (x,) = ask(page, "tilt", ("context", noise.tolist(), apart))
        found, law = ask(
            page,
            "tilt",
            ("attend", x, query.tolist(), own, alpha + change, beta),
            ("law", query.tolist(), own, alpha + change, beta, apart, 60),
        )
        context = sep.Mixture(apart * V, np.eye(3) - 1 / 3, np.full(3, 1 / 3), np.eye(2))
        u = np.eye(3)[own] - 1 / 3 if own >= 0 else np.zeros(3)
        points = apart * V[np.arange(60) % 3] + noise
        weights = np.exp(alpha * points @ query + beta * context.labels[np.arange(60) % 3] @ u)
        weights /= weights.sum()
        table = {name: np.array([[value]]) for name, value in zip(sep.SCALARS, (alpha, beta, 1.0, 0.0), strict=True)}
        row = Recursion(table, 3).table[0]
        moved = sep.mixture_layer(query[None], u[None], context, row)[0][0] - query
        covariance, read = sep.mixture_noise(query[None], u[None], context, alpha, beta, 60)
        for mine, theirs in (
            (points, x), (weights, found["A"]), (weights @ points, found["mean"]), (moved, law["limit"]),
            (1 / (weights**2).sum(), found["read"]), (covariance[0], law["covariance"]), (read[0], law["read"]),
        ):  # fmt: skip
            worst = max(worst, np.max(np.abs(mine - np.array(theirs)) / (1 + np.abs(mine))))
    return worst


def test_tilt_computes_the_mixture_lemma(show):
    page = show("tilt")
    assert tilt_difference(page) < 1e-12
    assert tilt_difference(page, change=1e-9) > 1e-12  # and a wrong coupling is seen


# Classes that drift apart


def drift_difference(page, change=0.0) -> float:
    random, worst = np.random.default_rng(2), 0.0
    for _ in range(10):
        noise, y = random.normal(size=(45, 2)), random.permutation(np.repeat(np.arange(3), 15))
        scalars = dict(zip(sep.SCALARS, 0.4 * random.normal(size=4), strict=True))
        radius, spread = 0.2 + random.random(), random.random()
        given = scalars | {"gamma": scalars["gamma"] + change}
        (x,) = ask(page, "drift", ("points", noise.tolist(), radius, spread))
        levels, law = ask(page, "drift", ("simulate", x, y.tolist(), given, 8), ("closed", radius, spread**2, given, 8))
        recursion = Recursion({name: np.full((8, 1), value) for name, value in scalars.items()}, 3)
        x = np.array(x)
        run = recursion.trajectory(np.vstack([x, x[:1]])[None], y[None]).x[:, 0, :45]
        closed = sep.scalar_recursion(recursion.table, 3, radius, spread=spread**2)
        (scatter,) = ask(page, "drift", ("scatter", x.tolist(), y.tolist()))
        between, within = (np.trace(part) for part in sep.scatter(x, y, 3))
        for mine, theirs in (
            (run, levels), (closed.radius, [t["r"] for t in law]), (closed.spread[:, 0], [t["variance"] for t in law]),
            (closed.rho[:, 0], [t["rho"] for t in law[:-1]]), (between, scatter["between"]),
            (within, scatter["within"]),
        ):  # fmt: skip
            worst = max(worst, np.max(np.abs(mine - np.array(theirs)) / (1 + np.abs(mine))))
    return worst


def test_drift_computes_the_recursion_and_its_closed_form(show):
    page = show("drift")
    assert drift_difference(page) < 1e-12
    assert drift_difference(page, change=1e-9) > 1e-12


def test_line_is_exact_where_the_picture_says_so(show):
    page = show("drift")
    for labels, alpha, spread in (("true", 0, 0.8), ("shuffled", 0, 0.8), ("true", -0.6, 0), ("true", -0.6, 0.6)):
        page.select_option("select >> nth=1", labels)
        turn(page, "alpha", alpha)
        turn(page, "spread", spread)
        radii, law = numbers(page, "radii"), numbers(page, "law")
        exact = "Here the line is exact" in page.inner_text(".icl-live")
        assert exact == (alpha == 0 or spread == 0)
        assert (np.abs(radii - np.abs(law)).max() < 1e-6) == exact


# The average over renamings


def averaging_difference(page, change=0.0) -> float:
    """Largest difference of means, coordinates, their matrix, and the mean over the whole group from the package's."""
    random, worst = np.random.default_rng(4), 0.0
    for d, K in ((5, 3), (2, 2), (2, 4), (4, 3)):
        matrix = random.normal(size=(d + K, d + K))
        orders = np.array([np.r_[random.permutation(d), d + random.permutation(K)] for _ in range(20)])
        given = (matrix + change).tolist()
        means, six = ask(page, "averaging", ("means", given, orders.tolist(), [0, 1, 20]), ("coordinates", given, d))
        every = [[*p, *q] for p in itertools.permutations(range(d)) for q in itertools.permutations(range(d, d + K))]
        built, whole = ask(page, "averaging", ("assemble", six, d, K), ("means", given, every, [len(every)]))
        moved, torched = matrix[orders[:, :, None], orders[:, None, :]], torch.from_numpy(matrix)
        a, closed = coordinates(torched, d, K), project(torched, d, K).numpy()
        for mine, theirs in (
            ([matrix, moved[0], moved.mean(0)], means), (a.numpy(), list(six.values())),
            (assemble(a, d, K).numpy(), built), (closed, built), (group_average(torched, d, K).numpy(), whole[0]),
        ):  # fmt: skip
            worst = max(worst, np.abs(np.asarray(mine) - np.asarray(theirs)).max())
    return worst


def test_averaging_computes_the_projection(show):
    page = show("averaging")
    assert averaging_difference(page) < 1e-12
    assert averaging_difference(page, change=1e-9) > 1e-12


def test_all_renamings_leave_six_numbers(show):
    page = show("averaging")
    page.focus("input[aria-label='Renamings averaged']")
    page.keyboard.press("End")
    target = project(torch.from_numpy(MATRIX), 5, 3).numpy()
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert page.get_attribute("input[aria-label='Renamings averaged']", "aria-valuetext") == "Mean of 240 renamings"
    found = numbers(page, "six")
    moved = MATRIX[ORDERS[:240, :, None], ORDERS[:240, None, :]].mean(0)
    left = np.linalg.norm(moved - target) / np.linalg.norm(MATRIX - target)
    assert numbers(page, "left") == pytest.approx(left)
    page.select_option("select", "once")
    page.focus("input[aria-label='Renamings averaged']")
    page.keyboard.press("End")
    assert numbers(page, "left") < 1e-12  # each of the 720 once
    assert numbers(page, "six") == pytest.approx(found)  # which no renaming moves
    page.get_by_text("Another matrix").click()
    assert numbers(page, "six") != pytest.approx(found)
    assert page.faults == []


# Which past counts


def counting_difference(page, change=0.0) -> float:
    """Largest difference of counts, Bayes, head, truth and mean losses from the package's, over places and lags."""
    random, worst = np.random.default_rng(5), 0.0
    for lags in ((1,), (1, 2), (1, 3), (1, 2, 3)):
        drawn, alpha = MarkovTask(lags=lags, length=50).sample(1, seed=int(random.integers(99))), random.random()
        tokens, kernel, a = drawn.tokens[0].tolist(), drawn.kernel[0].tolist(), 6 * random.random()

        def until(place, drawn=drawn, lags=lags):
            now = drawn.tokens[:, :place], drawn.tokens[:, place], drawn.kernel, lags, 3, 0.1
            return Chains(*now)

        for mine in ((), (2,), (1, 2), (1, 2, 3)):
            place = int(random.integers(10, 50))
            here, mine_js = until(place), list(mine)
            (places,) = ask(page, "counting", ("matches", tokens, place, mine_js))
            (n,) = ask(page, "counting", ("counts", tokens, places, 3))
            p, head, truth, paid, known = ask(
                page,
                "counting",
                ("bayes", n, alpha + change),
                ("head", tokens, place, mine_js, a, 3),
                ("row", kernel, tokens, place, list(lags), 3),
                ("pays", tokens, mine_js, alpha + change, 3, 5),
                ("known", tokens, kernel, list(lags), 3, 5),
            )
            later = [until(t) for t in range(5, 50)]
            mean = np.mean([log_losses(posterior_predictive(c, mine, alpha), c.answer).item() for c in later])
            floor = np.mean([log_losses(true_conditional(c), c.answer).item() for c in later])
            for found, theirs in (
                (n, match_counts(here, mine)[0]), (p, posterior_predictive(here, mine, alpha)[0]),
                (head["y"], generalized_induction_head(here.tokens, mine, 3, sharpness=a)[0]),
                (truth, true_conditional(here)[0]), (paid, mean), (known, floor), (sum(head["attention"]), 1.0),
            ):  # fmt: skip
                worst = max(worst, np.abs(np.asarray(found) - np.asarray(theirs)).max())
    return worst


def test_counting_computes_the_yardsticks(show):
    page = show("counting")
    assert counting_difference(page) < 1e-12
    assert counting_difference(page, change=1e-9) > 1e-12


def test_lags_are_chosen_on_the_bars_and_places_on_the_sequence(show):
    page = show("counting", width=390, has_touch=True)
    strip, bars, _ = (sheet.bounding_box() for sheet in page.query_selector_all(".icl-live .sheet"))
    page.touchscreen.tap(strip["x"] + strip["width"] * 30.5 / 61, strip["y"] + 100)
    page.query_selector_all(".icl-live .sheet")[1].scroll_into_view_if_needed()
    _, bars, _ = (sheet.bounding_box() for sheet in page.query_selector_all(".icl-live .sheet"))
    page.touchscreen.tap(bars["x"] + bars["width"] * 4.5 / 8, bars["y"] + 100)  # of {}, 1, 2, 3, 12, ...
    drawn = CHAINS["lags 1, 2"]
    tokens = torch.tensor([drawn["tokens"][:31]])
    here = Chains(tokens[:, :-1], tokens[:, -1], torch.from_numpy(drawn["kernel"])[None], (1, 2), 3, 0.1)
    assert numbers(page, "answer") == pytest.approx(posterior_predictive(here)[0].numpy())
    assert page.input_value("select >> nth=1") == "4"
    sets = ["none", "1", "2", "3", "1, 2", "1, 3", "2, 3", "1, 2, 3"]
    for degree, within in ((1, 4), (2, 7), (3, 8)):
        turn(page, "degree", degree)
        paid = numbers(page, "pays")
        assert page.get_attribute(".icl-live", "data-best") == sets[np.argmin(paid[:within])]
    assert page.faults == []


# Part II on a sequence


def copier_difference(page, change=0.0) -> float:
    """Largest difference of copies, similarity, attention and answer from `InductionTransformer`'s."""
    random, worst = np.random.default_rng(3), 0.0
    for seed in range(10):
        model = InductionTransformer(seed=seed, noise=1.0).double()
        with torch.no_grad():
            model.c.copy_(torch.from_numpy(random.normal(size=len(SETS)))), model.a.fill_(4 * random.normal())
            tokens = torch.from_numpy(random.integers(0, 3, (1, int(random.integers(4, 40)))))
            theirs = (
                model.copies(tokens)[0, -1],
                model.similarity(tokens)[0],
                model.attention(tokens)[0],
                model(tokens)[0],
            )
            copying, p = model.copying().tolist(), model.selection().tolist()
        (found,) = ask(
            page, "induction", ("forward", tokens[0].tolist(), copying, SETS, p, model.sharpness + change, 3)
        )
        for name, values in zip(("copies", "similarity", "attention", "y"), theirs, strict=True):
            worst = max(worst, np.abs(np.array(found[name]) - values.numpy()).max())
    return worst


def test_induction_computes_the_model(show):
    page = show("induction")
    assert copier_difference(page) < 1e-12
    assert copier_difference(page, change=1e-9) > 1e-12
    heads, mass, matches = ask(
        page, "induction", ("heads", 3, 3, 2.9), ("selector", 6, 3, 0.5), ("matches", TOKENS[:40].tolist(), [1, 2])
    )
    np.testing.assert_allclose(heads, InductionTransformer(start=(2.9, 0.0)).double().copying().detach(), atol=1e-7)
    assert mass == [0.1, 0.1, 0.1, 0.5, 0.1, 0.1]
    assert matches == [t for t in range(2, 40) if (TOKENS[t - 2 : t] == TOKENS[38:40]).all()]


def test_a_place_is_chosen_on_the_sequence(show):
    page = show("induction", width=390, has_touch=True)
    cells = page.query_selector(".icl-live .sheet").bounding_box()
    page.touchscreen.tap(cells["x"] + cells["width"] * 20.5 / 41, cells["y"] + 100)
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert page.get_attribute("input[name=place]", "aria-valuetext") == "20"
    turn(page, "a", 0)
    assert numbers(page, "answer") == pytest.approx(np.bincount(TOKENS[:20], minlength=3) / 20)
    assert page.faults == []


def test_film_ends_where_training_ended(show):
    page = show("film")
    page.focus("input[aria-label='Recorded steps']")
    page.keyboard.press("End")
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert page.get_attribute("input[aria-label='Recorded steps']", "aria-valuetext") == "step 600"
    with torch.no_grad():
        answer = load("joint-0").double()(torch.from_numpy(TOKENS[None, :40]))[0].numpy()
    assert numbers(page, "answer") == pytest.approx(answer, abs=2e-3)
    assert page.faults == []
