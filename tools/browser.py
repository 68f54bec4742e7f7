"""What can be wrong with a page as readers see it, asked of a real browser: `tests/test_browser.py` is who asks.

The browser is the system's Chromium (or what the variable CHROMIUM names), driven by Playwright; nothing is downloaded.
"""

import contextlib
import os
import shutil
import threading
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
_QUESTIONS = Path(__file__).with_suffix(".js").read_text(encoding="utf-8").partition("\n")[2].rstrip("\n;")
WIDTHS = {1280: 900, 390: 844}

# Rules of axe that readers of these pages gain nothing by, each with its reason.
AXE_OFF = {
    "region": "only the article is looked at, which is one",
}
# Parts that it skips: docutils gives the entries of a bibliography roles that newer rules have dropped.
AXE_PASSES = [".citation-list"]


def chromium() -> str | None:
    """The path of a browser, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextlib.contextmanager
def serve(folder: Path):
    """A folder over http on the loopback; gives the address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *message):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Watch:
    """What a page says and asks for: `faults` holds errors on the console, and requests that fail or leave the site.

    Arguments:
        page: of Playwright.
        home: the start of every address that belongs to the site.
    """

    def __init__(self, page, home: str):
        self.faults: list[str] = []
        page.route("**/*", partial(self._route, home))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("requestfailed", lambda request: self.faults.append(f"request failed: {request.url[:120]}"))
        page.on("response", self._response)

    def _route(self, home, route):
        url = route.request.url
        if url.startswith((home, "data:", "blob:")):
            route.continue_()
        else:
            self.faults.append(f"request to another site: {url[:120]}")
            route.abort()

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text[:200]}")

    def _response(self, response):
        if response.status >= 400:
            self.faults.append(f"answer {response.status}: {response.url[:120]}")


def settle(page, *, unfold: bool = True) -> None:
    """Open all that is folded, and wait until formulas are set and pictures are there, those below the screen too."""
    page.evaluate(
        """async unfold => {
          for (const picture of document.images) picture.loading = "eager";
          for (const folded of document.querySelectorAll("article details")) folded.open ||= unfold;
          const hidden = "toggle-hidden";
          for (const folded of document.querySelectorAll(`.${hidden}`)) folded.classList.toggle(hidden, !unfold);
          if (window.MathJax && MathJax.startup && MathJax.startup.promise) await MathJax.startup.promise;
          const there = p => p.complete || new Promise(r => { p.onload = p.onerror = r; });
          await Promise.all([...document.images].map(there));
          await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
        }""",
        unfold,
    )


def content_faults(page) -> list[str]:
    """Formulas that are not set or hold an error, and pictures that are not there."""
    return page.evaluate(f"({_QUESTIONS}).content()")


def layout_faults(page, phone: bool) -> list[str]:
    """Code, tables and formulas that are cut, and a page that scrolls sideways."""
    return page.evaluate(f"({_QUESTIONS}).layout({str(phone).lower()})")


def figure_faults(page) -> list[str]:
    """Figures with type below 11 px, and words in them that leave the picture or lie on each other."""
    return page.evaluate(f"({_QUESTIONS}).figures()")


def code_share(page) -> float:
    """How much of the height of an article is code, as it opens: what is folded counts with its handle alone."""
    return page.evaluate("""() => {
        const article = document.querySelector("article"), height = e => e.getBoundingClientRect().height;
        const open = cell => cell.closest("details:not([open])")?.querySelector("summary") ?? cell;
        const cells = [...article.querySelectorAll(".cell_input")];
        return cells.reduce((sum, cell) => sum + height(open(cell)), 0) / height(article);
    }""")


@cache
def _axe() -> str:
    import axe_playwright_python

    return Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def access_faults(page, inside: str = "article") -> list[str]:
    """What axe-core finds wrong in a part of a page, for those who use no mouse or see little."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(_axe())
        page.evaluate("axe.configure({rules: [{id: 'color-contrast', selector: '[data-look]'}]})")
    page.evaluate(f"inside => ({_QUESTIONS}).looks(inside)", inside)
    # Without `preload: false` axe asks for the style sheets once more, which a browser refuses to a page from a folder.
    options = {
        "resultTypes": ["violations"],
        "preload": False,
        "rules": {rule: {"enabled": False} for rule in AXE_OFF},
    }
    where = {"include": [inside], "exclude": AXE_PASSES}
    answer = page.evaluate("([where, options]) => axe.run(where, options)", [where, options])
    return [f"{found['id']}: {node['html'][:100]}" for found in answer["violations"] for node in found["nodes"]]


class _Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.names |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        for key in ("href", "src"):
            if attributes.get(key):
                self.links.append(attributes[key])


def link_faults(site: Path) -> list[str]:
    """Links and sources of all pages of a site that lead to no file or to no place in it."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    faults = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            if not target.is_file():
                faults.append(f"{path.relative_to(site)}: {link} leads nowhere")
            elif address.fragment and target in pages and unquote(address.fragment) not in pages[target].names:
                faults.append(f"{path.relative_to(site)}: {link} names no place there")
    return faults
