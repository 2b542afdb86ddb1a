"""Neuron pages in a browser, from a folder and from a server."""

import functools
import http.server
import shutil
import threading

import pytest

from tests.report import neuron_runs
from tests.report.conftest import HOSTILE, Opened
from tests.report.neuron_runs import LAYERS, SEPARATORS, TOKENS, WIDTH, every_run
from un_lightning.report.finished import find_runs
from un_lightning.report.neuron_site import write_site
from un_lightning.report.neuron_sources import Sources


expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect
pytestmark = pytest.mark.browser
COUNT = LAYERS * WIDTH
READY = "html[data-ready]"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site of every analysis, in a folder whose name needs quoting."""
    folder = tmp_path_factory.mktemp("pages")
    out = folder / "a site #1"
    write_site(Sources(find_runs([str(every_run(folder / "runs"))], folder)), out, HOSTILE)
    return out


@pytest.fixture
def opened(browser, site):
    """Open the site at an address; it must complain of nothing, and ask for nothing outside itself."""
    pages = []

    def open_page(address: str = "", scheme: str = "light", base: str | None = None):
        base = base or f"{site.as_uri()}/"
        pages.append((Opened(browser, f"{base}index.html{address}", scheme), base))
        page = pages[-1][0].page
        page.wait_for_selector(READY)
        return page

    yield open_page
    for each, base in pages:
        each.page.close()
        assert each.complaints == []
        assert [url for url in each.requests if not url.startswith((base, "data:"))] == []


def names(page):
    """Neurons of the lines in sight."""
    return page.locator(".line a").all_inner_texts()


def title(page):
    return page.locator("#neuron h1").inner_text()


def open_neuron(page, name):
    page.locator(f'#neuron h1:text-is("{name}")').wait_for()


def excess(model="a"):
    """Names of the neurons of a model, those with the largest excess correlation first."""
    table = neuron_runs.correlation()["neurons"].query("model == @model")
    table = table.sort_values("excess_corr", ascending=False)
    return [f"L{layer}.{neuron}" for layer, neuron in zip(table["layer"], table["neuron"], strict=True)]


def test_the_table_shows_the_neurons_with_the_largest_excess_first(opened):
    page = opened()
    assert page.title() == page.locator("#home").inner_text() == HOSTILE
    assert page.locator("#count").inner_text() == f"{COUNT} of {COUNT} neurons"
    assert names(page)[:20] == excess()[:20]
    assert len(names(page)) < COUNT  # only the lines in sight exist
    page.evaluate("document.querySelector('.grid').scrollTop = 1e6")
    page.locator(f'.line a:text-is("{excess()[-1]}")').wait_for()
    assert names(page)[-1] == excess()[-1]


def test_search_and_sort(opened):
    page = opened()
    search, count = page.locator("#search"), page.locator("#count")

    def found(text, expected):
        search.fill(text)
        expect(count).to_have_text(f"{expected} of {COUNT} neurons")
        assert page.locator("#problem").inner_text() == ""

    table = neuron_runs.correlation()["neurons"].query("model == 'a'")
    found("L2.17", 1)
    assert names(page) == ["L2.17"]
    found("L2", WIDTH)
    found("excess_corr>0.5", (table["excess_corr"] > 0.5).sum())
    found("universal L0", (table["universal"] & (table["layer"] == 0)).sum())
    found("family=unigram", COUNT // 2)
    found("w_in_norm>1", COUNT)  # a column that was not loaded yet
    found("w_in_norm>2", 0)
    search.fill("no_column>1")
    expect(page.locator("#problem")).to_have_text('there is no column "no_column"')
    found("", COUNT)
    page.locator('.heads [data-name="neuron"]').click()
    first = page.locator(".line a").first
    expect(first).to_have_text("L0.0")
    page.locator('.heads [data-name="kurt"]').click()
    expect(first).to_have_text("L0.5")  # 99, from the weights
    page.locator('.heads [data-name="kurt"]').click()
    expect(first).not_to_have_text("L0.5")
    assert "▴" in page.locator('.heads [data-name="kurt"]').inner_text()
    page.select_option("#model", "")
    expect(count).to_have_text(f"{2 * COUNT} of {2 * COUNT} neurons")
    page.locator("#chooser summary").click()
    page.locator("#chooser label", has_text="w_in_norm").click()
    page.wait_for_selector('.heads [data-name="w_in_norm"]')


def test_the_keyboard_leads_from_neuron_to_neuron(opened):
    page = opened()
    order = excess()
    page.keyboard.press("ArrowDown")
    assert page.locator(".line.chosen a").inner_text() == order[1]
    page.keyboard.press("Enter")
    open_neuron(page, order[1])
    for key, place in (("n", 2), ("ArrowRight", 3), ("p", 2), ("ArrowLeft", 1), ("p", 0), ("p", 0)):
        page.keyboard.press(key)
        open_neuron(page, order[place])
    assert page.evaluate("location.hash") == f"#/a/{order[0]}"
    assert f"1 of {COUNT}" in page.locator(".name").inner_text()
    page.keyboard.press("/")
    page.keyboard.type("L2.17")
    assert title(page) == order[0]  # keys in the search box are text
    page.keyboard.press("Enter")
    open_neuron(page, "L2.17")
    page.keyboard.press("Escape")
    page.wait_for_selector("#table:not([hidden])")
    assert names(page) == ["L2.17"]
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_a_page_shows_every_kind_of_evidence(opened):
    page = opened("#/a/L1.7")
    open_neuron(page, "L1.7")
    heads = page.locator("#neuron h2").all_inner_texts()
    assert heads == [
        "Matches in the other models",
        "Activation",
        "Largest activations",
        "Across its range",
        "Logits",
        "Tokens",
        "Family",
        "Prediction",
        "Interventions",
        "Neighbours in the model",
        "Statistics",
    ]
    match = page.locator(".match")
    assert match.locator("a").first.get_attribute("href") == "#/b/L1.8"
    assert "0.800" in match.inner_text()
    assert page.locator("#activation .area").count() == 3  # all tokens; with its label and without
    assert "with: 100 tokens" in page.locator("#activation").inner_text()
    assert page.locator("#interventions .curve").count() == 1
    assert page.locator("#interventions .point").count() > 300
    assert "0.050 … 0.150" in page.locator("#interventions").inner_text()
    page.locator("#statistics summary").click()
    page.wait_for_selector("#statistics dl")
    assert "w_in_norm" in page.locator("#statistics").inner_text()
    match.locator("a").first.click()
    open_neuron(page, "L1.8")
    assert "model b" in page.locator(".name").inner_text()
    assert page.locator("#neuron h2").all_inner_texts() == ["Matches in the other models", "Statistics"]


def test_tokens_are_shaded_and_say_their_values(opened):
    page = opened("#/a/L1.7")
    line = page.locator("#largest-activations .context").first
    marks = line.locator("mark")
    assert marks.count() == len(TOKENS)
    assert marks.nth(1).get_attribute("class") == "own up"
    shade = "mark => getComputedStyle(mark).backgroundColor"
    clear = marks.nth(0).evaluate(shade)
    assert marks.nth(1).evaluate(shade) != clear
    assert marks.nth(9).get_attribute("class") == "down"
    marks.nth(1).hover()
    assert page.locator("#hover").inner_text() == "·F 4"
    marks.nth(9).hover()
    assert page.locator("#hover").inner_text().startswith("·the −0.9")


def test_text_from_data_stays_text(opened):
    page = opened("#/a/L1.7")
    open_neuron(page, "L1.7")
    assert page.title() == f"L1.7 · {HOSTILE}"  # and not what the script in it says
    assert page.evaluate("document.querySelectorAll('body script').length") == 8
    context = page.locator("#largest-activations .context").first
    assert context.locator("mark").nth(0).inner_text() == HOSTILE
    assert context.locator("mark").nth(5).evaluate("mark => mark.textContent") == SEPARATORS
    assert page.locator("#family code").first.inner_text() == HOSTILE
    page.locator("#largest-activations mark").first.hover()
    assert HOSTILE.replace(" ", "·") in page.locator("#hover").inner_text()


def test_an_unknown_neuron_is_named(opened):
    page = opened("#/a/L9.9")
    expect(page.locator("#problem")).to_have_text("there is no neuron L9.9")
    assert page.locator("#table").is_visible()


@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(21, 24, 28)")])
def test_light_and_dark(opened, scheme, colour):
    page = opened("#/a/L1.7", scheme)
    open_neuron(page, "L1.7")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colour
    contrasts = page.evaluate(CONTRAST)
    assert min(contrasts) > 4.5, contrasts  # what WCAG asks of text
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0


CONTRAST = """() => {
  const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = light(getComputedStyle(document.body).backgroundColor);
  return ['body', 'a', '.soft', 'h2', 'figcaption', '.badge.universal', '.figures dt']
    .map((name) => document.querySelector(name)).filter(Boolean)
    .map((node) => light(getComputedStyle(node).color))
    .map((own) => (Math.max(own, behind) + 0.05) / (Math.min(own, behind) + 0.05));
}"""


def test_served_over_http(opened, site):
    handler = functools.partial(QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        page = opened("#/a/L1.7", base=f"http://127.0.0.1:{server.server_port}/")
        open_neuron(page, "L1.7")
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """The handler of `python -m http.server`, without its log."""

    def log_message(self, *_args) -> None:
        """Say nothing."""


def test_a_missing_file_is_named(browser, site, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / "data" / "0-1-0.js").unlink()
    found = Opened(browser, f"{(tmp_path / 'site').as_uri()}/index.html#/a/L1.7")
    expect(found.page.locator("#problem")).to_have_text("the file data/0-1-0.js cannot be read")
    found.page.close()
