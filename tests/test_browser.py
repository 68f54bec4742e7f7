"""The built site in a real browser: what readers see, from a folder and from a server, light and dark, wide and narrow.

Where there is no browser or no built site these tests are skipped, and say so; where ICL_NB_BROWSER=required, that is a
failure. `make browser` runs them.
"""

import doctest
import json
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from icl_nb.figures import Explorer
from icl_nb.figures.live import module
from icl_nb.recursion import Recursion
from tools import browser as look
from tools import figures, slim, text

ROOT = Path(__file__).parent.parent
SITE = Path(os.environ.get("ICL_NB_SITE", ROOT / "_build" / "html"))
REQUIRED = os.environ.get("ICL_NB_BROWSER") == "required"
BUILT = (SITE / "book" / "index.html").is_file()
MEGABYTES = 25
MOST_CODE = 0.2  # of a chapter's height: the code that is the lesson; what prints and plots is folded

pytestmark = pytest.mark.skipif(
    not REQUIRED and not look.chromium(), reason="no Chromium found (install it, or name it in CHROMIUM)"
)
of_the_site = pytest.mark.skipif(not REQUIRED, reason="asks for the built site: make book, then make browser")


def pages() -> list[str]:
    """All pages but those that only lead on, as paths in the site."""
    found = sorted(path.relative_to(SITE).as_posix() for path in (SITE / "book").rglob("*.html")) if BUILT else []
    moved = [page for page in found if "This chapter has moved" in (SITE / page).read_text(encoding="utf-8")[:600]]
    return [page for page in found if page not in moved] or ["none"]


@pytest.fixture(scope="module")
def chromium():
    sync_api = (
        pytest.importorskip("playwright.sync_api") if not REQUIRED else __import__("playwright.sync_api").sync_api
    )
    assert look.chromium(), "no Chromium found (install it, or name it in CHROMIUM)"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.chromium(), args=look.FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium):
    """A page of its own; give it a width and what else a context takes."""
    contexts = []

    def new(width=1280, **options):
        context = chromium.new_context(viewport={"width": width, "height": look.WIDTHS[width]}, **options)
        context.set_default_timeout(180_000)  # machines that do other work as well
        contexts.append(context)
        return context.new_page()

    yield new
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def server():
    with look.serve(SITE) as address:
        yield address


# The site


@pytest.fixture(scope="module")
def sheet(chromium):
    """A new page of a width and a mode; pages of one look share what the browser has read and compiled."""
    contexts, opened = {}, []

    def new(width: int, mode: str):
        if (width, mode) not in contexts:
            size = {"width": width, "height": look.WIDTHS[width]}
            contexts[width, mode] = chromium.new_context(viewport=size, color_scheme=mode)
            contexts[width, mode].set_default_timeout(180_000)  # machines that do other work as well
        for page in opened:
            page.close()
        opened[:] = [contexts[width, mode].new_page()]
        return opened[0]

    yield new
    for context in contexts.values():
        context.close()


def seen(page, home: str, name: str, phone: bool) -> list[str]:
    """All that is wrong with one page in one look."""
    watch = look.Watch(page, home)
    page.goto(f"{home}/{name}")
    look.settle(page)
    found = look.content_faults(page) + look.layout_faults(page, phone) + look.figure_faults(page)
    return watch.faults + found + look.access_faults(page)


# Each page is read twice: where it comes from, how wide and how dark it is do not meet each other.


@of_the_site
@pytest.mark.parametrize("name", pages())
def test_page_from_a_folder_wide_and_light(sheet, name):
    assert seen(sheet(1280, "light"), SITE.resolve().as_uri(), name, phone=False) == []


@of_the_site
@pytest.mark.parametrize("name", pages())
def test_page_from_a_server_narrow_and_dark(sheet, server, name):
    assert seen(sheet(390, "dark"), server, name, phone=True) == []


@of_the_site
@pytest.mark.parametrize("name", [page for page in pages() if re.match(r"book/\d", page)])
def test_a_chapter_opens_with_little_code(sheet, name):
    page = sheet(1280, "light")
    page.goto((SITE / name).resolve().as_uri())
    look.settle(page, unfold=False)
    assert look.code_share(page) < MOST_CODE


@of_the_site
def test_links_lead_somewhere():
    assert look.link_faults(SITE) == []


@of_the_site
def test_search_finds(tab, server):
    page = tab()
    page.goto(f"{server}/search.html?q=whitening")
    page.wait_for_selector("#search-results li a")
    page.goto(f"{server}/search.html?q=xyzzyplugh")
    page.wait_for_function("document.querySelector('#search-results').innerText.includes('did not match')")
    assert page.query_selector("#search-results li a") is None


@of_the_site
def test_old_addresses_lead_to_the_chapters(tab, server):
    page = tab()
    for old, new in {"07-robustness": "10-robustness", "memory": "08-memory"}.items():
        page.goto(f"{server}/book/{old}.html#limitations")
        page.wait_for_url(f"{server}/book/{new}.html#limitations")


@of_the_site
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_star_has_the_ink_of_its_page(tab, mode):
    """The theme has classes of its own, and one of them once painted the query black on black."""
    page = tab(color_scheme=mode)
    page.goto((SITE / "book" / "index.html").resolve().as_uri())
    page.wait_for_selector(".icl-live path[fill=currentColor]")
    seen = page.evaluate(
        "[...document.querySelectorAll('.icl-live path[fill=currentColor]')].map("
        "e => [getComputedStyle(e).fill, getComputedStyle(e.ownerSVGElement).color])"
    )
    assert seen and all(star == ink for star, ink in seen)


@of_the_site
def test_site_is_small():
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    assert size < MEGABYTES * 1e6


@of_the_site
def test_notebooks_to_download_are_whole_and_hold_no_pictures():
    for path in sorted((SITE / "_sources" / "book").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        assert outputs and not any(set(slim.DRAWN) & set(output.get("data", ())) for output in outputs)


@of_the_site
def test_a_term_says_what_it_means():
    for path in (SITE / "book").rglob("*.html"):
        terms = re.findall(r'<a ([^>]*)><span class="xref std std-term">', path.read_text(encoding="utf-8"))
        assert all(re.search(r'title="[^"]+', attributes) for attributes in terms), path.name


def symbol_faults(page: str) -> list[str]:
    """Links of symbols that say nothing, say it in TeX, lead to no row, or stand in a heading, a caption or a link."""
    links = re.findall(r'<a class="symbol[^>]*>', page)
    sound = re.compile(r'<a class="symbol[^"]*" href="(?:\S*/)?symbols\.html#symbol-\d+" title="[^"\\$_^{}]+">')
    inside = re.findall(r'(<(h\d|figcaption|a)\b[^>]*>(?:(?!</\2>).)*?<a class="symbol)', page, re.DOTALL)
    return [link for link in links if not sound.fullmatch(link)] + [whole for whole, _ in inside]


@of_the_site
def test_a_symbol_leads_to_its_row():
    for path in (SITE / "book").rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert symbol_faults(page) == [], path.name
        assert ('<a class="symbol' in page) == bool(re.match(r"\d\d-|index", path.name) and len(page) > 9_000), (
            path.name
        )


def test_a_planted_fault_of_a_symbol_is_seen():
    link = '<a class="symbol reference internal" href="symbols.html#symbol-9" title="a class">K</a>'
    assert symbol_faults(f"<h2>K</h2><p>({link})</p>") == []
    for fault in (
        *(f"<{tag} id='a'><i>of</i> {link}</{tag}>" for tag in ("h2", "figcaption", "a")),
        *(link.replace('a class"', f'{planted}"') for planted in ("", r"\alpha", "x_i")),
        link.replace("#symbol-9", ""),
    ):
        assert len(symbol_faults(fault)) == 1


@of_the_site
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_figures_have_the_ink_of_their_page_and_one_width(tab, mode):
    for width, shown, hidden in ((1280, "wide", "narrow"), (390, "narrow", "wide")):
        page = tab(width=width, color_scheme=mode)
        page.goto((SITE / "book" / "index.html").resolve().as_uri())
        ink = page.evaluate(
            f"""[...document.querySelectorAll('.icl-{shown} text')].map(
            e => [getComputedStyle(e).fill, getComputedStyle(document.querySelector('article')).color])"""
        )
        assert ink and all(word == prose for word, prose in ink)
        seen = page.evaluate("k => [...document.querySelectorAll(`.icl-${k}`)].map(e => e.checkVisibility())", shown)
        assert seen and all(seen)
        seen = page.evaluate("k => [...document.querySelectorAll(`.icl-${k}`)].map(e => e.checkVisibility())", hidden)
        assert seen and not any(seen)


@of_the_site
def test_every_figure_stands_in_its_page():
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        drawn = figures.pictures(json.loads(path.read_text(encoding="utf-8")))
        page = (SITE / "book" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert [name for name in drawn if page.count(f'id="{name}"') != 1] == []
        assert page.count('<svg class="icl-wide"') == page.count('<svg class="icl-narrow"') == len(drawn)


@pytest.mark.parametrize("module", [figures, slim, text], ids=["figures", "slim", "text"])
def test_what_finishes_the_site_does_as_its_examples_say(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


# Does a check see what it is for?

SOUND = (
    "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    "<meta name='viewport' content='width=device-width'><title>t</title></head>"
    "<body><main><article><h1>t</h1>BODY</article></main></body></html>"
)


def figure(words: str, size: str = "width='100' height='100'") -> str:
    """A figure in a page, with some words in it."""
    shape = f"role='img' aria-label='words' viewBox='0 0 100 100' style='overflow:visible' {size}"
    return f"<figure id='fig-a'><div class='icl-figure'><svg {shape}>{words}</svg></div></figure>"


PLANTED = {
    "console": "<script>console.error('no')</script>",
    "exception": "<script>throw new Error('no')</script>",
    "another site": "<img alt='a picture' src='https://example.org/a.png'>",
    "request failed": "<script src='not-there.js'></script>",
    "formula not set": "<span class='math'>\\(x\\)</span>",
    "formula with an error": "<i class='math'><mjx-container><svg><g data-mml-node='merror'/></svg></i>",
    "picture not loaded": "<img alt='a picture' src='data:image/png;base64,AAAA'>",
    "code cut": f"<pre style='overflow:auto' tabindex='0'>{'x' * 300}</pre>",
    "table cut": f"<div style='overflow:auto' tabindex='0'><table><tr><td>{'x' * 300}</td></tr></table></div>",
    "formula cut": "<div class='math' style='overflow:hidden'>"
    "<mjx-container><svg style='width:3000px;height:9px'></svg></mjx-container></div>",
    "is of 9.0 px": figure("<text x='9' y='50' style='font-size: 9px'>small</text>"),
    "is of 7.0 px": figure("<text x='9' y='50' style='font-size: 14px'>small</text>", "width='50' height='50'"),
    "leaves its picture": figure("<text x='80' y='50' style='font-size: 12px'>too long</text>"),
    "lies on": figure("<text x='9' y='50'>first</text><text x='12' y='52'>second</text>"),
    "scrolls sideways": "<div style='width:3000px'>x</div>",
    "image-alt": "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA='>",
    "color-contrast": "<p style='color:#bbb;background:#fff'>pale</p>",
}


def all_faults(tab, path: Path) -> list[str]:
    page = tab()
    watch = look.Watch(page, path.parent.resolve().as_uri())
    page.goto(path.resolve().as_uri())
    look.settle(page)
    found = look.content_faults(page) + look.layout_faults(page, phone=False) + look.figure_faults(page)
    return watch.faults + found + look.access_faults(page)


def test_a_sound_page_has_no_fault(tab, tmp_path):
    words = "<text x='9' y='30'>A</text><text x='9' y='60'>x<tspan style='font-size: 8px'>2</tspan></text>"
    (tmp_path / "page.html").write_text(SOUND.replace("BODY", f"<p>All is well.</p>{figure(words)}"))
    assert all_faults(tab, tmp_path / "page.html") == []


@pytest.mark.parametrize(
    ("wrap", "share"), [("{}", 0.5), ("<details open>{}</details>", 0.5), ("<details>{}</details>", 0.0)]
)
def test_folded_code_takes_no_height(tab, wrap, share):
    code = '<summary style="height:0"></summary><div class="cell_input" style="height:500px"></div>'
    page = tab()
    page.set_content(
        f'<article style="display:flow-root"><div style="height:500px"></div>{wrap.format(code)}</article>'
    )
    assert look.code_share(page) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_seen(tab, tmp_path, fault):
    (tmp_path / "page.html").write_text(SOUND.replace("BODY", PLANTED[fault]))
    assert any(fault in found for found in all_faults(tab, tmp_path / "page.html"))


def test_a_broken_link_is_seen(tmp_path):
    body = "<a href='a.html'>a</a> <a href='page.html#here'>b</a> <a href='#there'>c</a> <i id='there'></i>"
    (tmp_path / "page.html").write_text(SOUND.replace("BODY", body))
    assert len(look.link_faults(tmp_path)) == 2


# The explorer, in a page of its own

RANDOM = np.random.default_rng(0)
POINTS = np.array([[2.0, 1.0], [1.5, -1.0], [-2.0, 1.2], [-1.4, -1.1], [0.1, -2.0], [0.4, 0.6]])
LABELS = np.array([0, 0, 1, 1, 2])
ONE = {"alpha": [[0.5], [1.0]], "beta": [[0.1], [1.0]], "gamma": [[0.3], [0.0]], "delta": [[0.5], [1.0]]}
TABLES = {
    "one": Recursion(ONE),
    "kept": Recursion({name: RANDOM.normal(size=(3, 2, 2, 2)) / 2 for name in ("alpha", "beta", "gamma", "delta")}),
}


@pytest.fixture
def explorer(tab, tmp_path):
    """A page with an explorer, and the part of it that lives."""

    def show(picture=None, address="", **options):
        picture = picture or Explorer(POINTS, LABELS, TABLES, alt="Five points of three classes, and a query.")
        path = tmp_path / "page.html"
        path.write_text(SOUND.replace("BODY", picture.to_html()), encoding="utf-8")
        page = tab(**options)
        page.faults = look.Watch(page, path.parent.resolve().as_uri()).faults
        page.goto(path.resolve().as_uri() + address)
        page.wait_for_selector(".icl-live")
        return page

    return show


def plane_box(page) -> dict:
    return page.query_selector(".icl-live svg[role=application]").bounding_box()


def place(page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the plane is on the screen."""
    box = plane_box(page)
    return box["x"] + box["width"] * (x + 3) / 6, box["y"] + box["height"] * (3 - y) / 6


def belief(page) -> list[float]:
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    return [float(number) for number in page.get_attribute(".icl-live", "data-belief").split()]


def expected(query, x=POINTS, y=LABELS) -> np.ndarray:
    logits = TABLES["one"](np.array([[*x[:-1], query]]), np.array([y]))[0]
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize("width", look.WIDTHS)
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_explorer_is_in_order(explorer, width, mode):
    page = explorer(width=width, color_scheme=mode)
    page.click("summary")
    page.wait_for_selector(".icl-live[data-map='80']")
    assert page.faults + look.layout_faults(page, phone=width < 600) + look.access_faults(page) == []
    assert belief(page) == pytest.approx(expected(POINTS[-1]), abs=1e-6)
    small = page.evaluate(
        "[...document.querySelectorAll('.icl-live *')].filter(e => e.childNodes.length === 1 && e.firstChild.data"
        " && e.tagName !== 'STYLE' && parseFloat(getComputedStyle(e).fontSize) < 11).length"
    )
    assert small == 0


def test_explorer_by_mouse(explorer):
    page = explorer()
    page.mouse.move(*place(page, *POINTS[-1]))
    page.mouse.down()
    page.mouse.move(*place(page, -1.5, 0.3), steps=5)
    assert belief(page) == pytest.approx(expected([-1.5, 0.3]), abs=0.02)  # a pixel is two hundredths
    page.mouse.up()
    page.get_by_text("Reset").click()
    assert belief(page) == pytest.approx(expected(POINTS[-1]), abs=1e-6)
    page.mouse.dblclick(*place(page, 2.5, 2.5))
    assert page.get_by_text("point 6 of 6", exact=False).count()
    page.get_by_text("Remove it").click()
    assert belief(page) == pytest.approx(expected(POINTS[-1]), abs=1e-6)
    page.select_option("select >> nth=2", "centroid")
    page.wait_for_selector(".icl-live path[stroke-dasharray='6 4']", state="attached")
    page.select_option("select >> nth=0", "kept")
    assert belief(page) != pytest.approx(expected(POINTS[-1]), abs=1e-6)
    assert page.faults == []


def test_explorer_by_touch(explorer):
    page = explorer(width=390, has_touch=True, is_mobile=True)
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        points = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", place(page, *POINTS[-1]))
    for part in np.linspace(0, 1, 6)[1:]:
        touch("touchMove", place(page, 0.4 - 1.9 * part, 0.6))
    touch("touchEnd")
    assert belief(page) == pytest.approx(expected([-1.5, 0.6]), abs=0.04)
    assert page.evaluate("scrollY") == 0  # the finger moved a point, not the page
    assert page.faults == []


def test_explorer_by_keys(explorer):
    page = explorer()
    page.focus("svg[role=application]")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    assert belief(page) == pytest.approx(expected([-0.1, 0.62]), abs=1e-6)
    page.keyboard.press("PageDown")  # from the query to the first point
    page.keyboard.press("3")
    assert belief(page) == pytest.approx(expected([-0.1, 0.62], y=np.array([2, 0, 1, 1, 2])), abs=1e-6)
    page.keyboard.press("Delete")
    assert page.get_by_text("point 1 of 4", exact=False).count()
    page.keyboard.press("Insert")
    assert page.get_by_text("point 5 of 5", exact=False).count()
    page.focus("input[aria-label='Layers passed']")
    page.keyboard.press("ArrowLeft")
    assert "after layer 1" in page.get_attribute("input[aria-label='Layers passed']", "aria-valuetext")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    assert page.faults == []


def test_explorer_keeps_its_state_in_the_address(explorer):
    page = explorer()
    page.focus("svg[role=application]")
    page.keyboard.press("ArrowLeft")
    page.get_by_text("Share").click()
    found = page.evaluate("location.hash")
    assert found.startswith("#explore=")
    again = explorer(address=found)
    assert belief(again) == belief(page) == pytest.approx(expected([0.3, 0.6]), abs=1e-6)
    for wrong in ("#explore=", "#explore=one~9~0~1~none~1~1~1,1,0", found.replace("one", "two"), found[:-1] + "7"):
        assert belief(explorer(address=wrong)) == pytest.approx(expected(POINTS[-1]), abs=1e-6)


def test_explorer_obeys_those_who_want_no_motion(explorer):
    page = explorer(reduced_motion="reduce")
    page.get_by_text("Play").click()
    seen = set()
    for _ in range(12):
        page.wait_for_timeout(100)
        seen.add(float(page.input_value("input[aria-label='Layers passed']")))
    assert all(level == round(level) for level in seen)
    page = explorer()
    before = page.input_value("input[aria-label='Layers passed']")
    page.wait_for_timeout(300)
    assert page.input_value("input[aria-label='Layers passed']") == before  # nothing moves unasked


def test_explorer_is_a_picture_without_script(explorer, tab, tmp_path):
    (tmp_path / "still.html").write_text(SOUND.replace("BODY", Explorer(POINTS, LABELS, TABLES, alt="Five.").to_html()))
    page = tab(java_script_enabled=False)
    page.goto((tmp_path / "still.html").resolve().as_uri())
    assert page.query_selector(".icl-explorer svg[role=img]").is_visible()
    assert "recursion" not in page.inner_text("body")  # nothing of the module or of its data


@pytest.mark.parametrize("kind", ["sectors", "head"])
def test_smaller_explorers(explorer, kind):
    head = Recursion({"alpha": [[1.0]], "beta": 0, "gamma": 0.5, "delta": 0.5})
    options = {"sectors": {"truth": [[1, 0], [-1, 1], [-1, -1]]}, "head": {"tables": {"head": head}}}[kind]
    page = explorer(Explorer(POINTS, [0, 0, 1, 2, 2], kind=kind, alt="Five points.", **options))
    if kind == "sectors":
        page.mouse.click(*place(page, 2.5, 0.1))
        assert page.get_by_text("point 6 of 6, blue circle", exact=False).count()
    else:
        before = page.get_attribute(".icl-live figure g path", "d")
        page.focus("input[aria-label=gamma]")
        page.keyboard.press("ArrowLeft")
        page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
        assert page.get_attribute(".icl-live figure g path", "d") != before
    assert page.faults + look.access_faults(page) == []


LINKED = """async ([module, data]) => {
  const {default: widget} = await import(URL.createObjectURL(new Blob([module], {type: "text/javascript"})));
  const listeners = [], el = document.body, saved = [];
  window.model = {
    saved, get: key => data[key], set: (key, value) => { data[key] = value; }, on: (event, f) => listeners.push(f),
    save_changes: () => saved.push(structuredClone(data.state)),
    send: state => { data.state = state; listeners.forEach(f => f()); },
  };
  window.stop = widget.render({model, el});
}"""


def test_widget_is_linked_both_ways(tab):
    """As anywidget calls it: what the reader does reaches the model, and what Python sets reaches the picture."""
    page = tab()
    data = json.loads(json.dumps(Explorer(POINTS, LABELS, TABLES).data))
    page.evaluate(LINKED, [module(), data])
    page.focus("svg[role=application]")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("model.saved.length && model.saved.at(-1).query[0] === 0.3")
    page.evaluate("model.send({...structuredClone(model.get('state')), query: [-1.5, 0.6]})")
    assert belief(page) == pytest.approx(expected([-1.5, 0.6]), abs=1e-6)
    page.evaluate("stop()")


# The numbers

AGREE = """async ([module, cases]) => {
  const {core} = await import(URL.createObjectURL(new Blob([module], {type: "text/javascript"})));
  return cases.map(({table, x, y, d, K}) => {
    const t = core.parse(table), {levels, rows} = core.trajectory(t, x.flat(), y, d, K);
    return Array.from({length: rows - y.length}, (_, i) => core.readOut(t, levels[t.L], y.length + i, d, K));
  });
}"""


def random_cases() -> list[tuple[Recursion, np.ndarray, np.ndarray]]:
    random, cases = np.random.default_rng(1), []
    for d, K, m, H in ((2, 2, 1, 1), (2, 3, 1, 2), (2, 3, 3, 3), (5, 3, 2, 2), (3, 4, 1, 3)):
        for _ in range(6):
            shape = (4, H) if m == 1 else (4, H, m, m)
            table = {name: random.normal(size=shape) / 2 for name in ("alpha", "beta", "gamma", "delta")}
            y = random.integers(-1, K, size=(1, 12))
            y[0, 0] = 0
            scale = random.normal() if m == 1 else random.normal(size=m)
            cases.append((Recursion(table, K, scale), random.normal(size=(1, 15, d)), y))
    return cases


def worst_difference(page, cases, change=lambda table: table) -> float:
    given = []
    for recursion, x, y in cases:
        table = change(json.loads(recursion.to_json()))
        given.append(
            {"table": table, "x": x[0].tolist(), "y": y[0].tolist(), "d": x.shape[-1], "K": recursion.n_classes}
        )
    answers = page.evaluate(AGREE, [module(), given])
    return max(np.abs(np.array(a) - r(x, y)[0]).max() for a, (r, x, y) in zip(answers, cases, strict=True))


def test_javascript_is_the_recursion(tab):
    page = tab()
    assert worst_difference(page, random_cases()) < 1e-12


def test_a_wrong_coupling_is_seen(tab):
    def change(table):
        first = table["table"]["delta"][0]
        while isinstance(first[0], list):
            first = first[0]
        first[0] += 1e-6
        return table

    assert worst_difference(tab(), random_cases(), change) > 1e-12


def test_no_text_ends_the_script():
    assert "</" not in module()
    assert not re.search(r"https?:|import\(|fetch\(|@import", module().replace('"http://www.w3.org/2000/svg"', ""))
