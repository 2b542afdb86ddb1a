"""The page that compares runs, opened in a browser."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.conftest import HOSTILE, make_run, neuron_table
from un_lightning.report.compare import compare_page, config_keys, text
from un_lightning.report.finished import find_runs
from un_lightning.report.main import main
from un_lightning.report.page import render


REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def page_file(runs, tmp_path):
    """The page of all three runs."""
    out = tmp_path / "some page.html"
    assert main([str(runs), "--out", str(out), "--title", HOSTILE]) == 0
    return out


def test_keys_are_sorted_by_whether_they_differ(runs):
    differing, partial, same = config_keys(find_runs([str(runs)], runs))
    assert differing == ["name", "data.tokens"]
    assert {*partial} == {"data.context", "data.path"}
    assert same == ["analysis.kind"]


def test_values_as_people_read_them():
    values = [None, True, 1234, 200_000, 0.1 + 0.2, 1e-9, "a", ["a", 1], {"b": None}]
    expected = ["null", "true", "1234", "200,000", "0.3", "1e-09", "a", '["a", 1]', '{"b": null}']
    assert [text(value) for value in values] == expected


def test_text_is_escaped_everywhere(page_file):
    html = page_file.read_text()
    assert "<script>document" not in html
    assert html.count("&lt;script&gt;document.title=") >= 5
    assert "\\u003cscript\\u003edocument" in html
    assert "http-equiv" in html


def test_a_forgotten_value_is_an_error():
    with pytest.raises(Exception, match="'title' is undefined"):
        render("base.html")


def test_figures_of_many_runs_are_left_in_their_folders(tmp_path):
    for place in range(15):
        make_run(tmp_path / "x" / f"{place:02}", figures=["one"])
    html = compare_page(find_runs([str(tmp_path / "x")], tmp_path), "many")
    assert html.count("data:image/png;base64,") == 12
    assert "Of the first 12 runs; the other 3" in html


def test_the_command(runs, tmp_path, capsys):
    assert main(["tiny/universality", "--root", str(runs), "--out", "made/page.html", "--no-tables"]) == 0
    assert "1 runs" not in capsys.readouterr().out
    assert (tmp_path / "made" / "page.html").is_file()
    assert main(["nothing"]) == 2
    assert "nothing: there is no finished run" in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_starts_quickly(runs):
    code = (
        "import sys; from un_lightning.report.main import main\n"
        f"main(['tiny/universality', '--root', {str(runs)!r}])\n"
        "print('torch' in sys.modules, 'wandb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
    script = REPOSITORY / "experiments" / "report.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--out" in done.stdout


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_in_light_and_dark(page_file, opened, scheme):
    page = opened(page_file, scheme)
    assert page.title() == HOSTILE
    assert page.locator("h1").inner_text() == HOSTILE
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]
    page.wait_for_selector("#chart .main-svg")
    paper = page.evaluate("document.getElementById('chart')._fullLayout.paper_bgcolor")
    assert paper == {"light": "#ffffff", "dark": "#15181c"}[scheme]
    images = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(images) == 4
    assert min(images) > 100
    shown = page.evaluate("[...document.images].map((image) => image.width)")
    assert shown[0] == 300 * 96 // 150 - 14  # in inches as drawn, with padding and border
    assert page.locator("#differing tbody tr").count() == 2
    assert page.locator("#differing tbody tr").nth(1).inner_text().split() == [
        "data.tokens",
        "1000",
        "2000",
        "–",
    ]


@pytest.mark.browser
def test_charts_follow_the_colour_scheme_of_the_moment(page_file, opened):
    page = opened(page_file)
    page.wait_for_selector("#chart .main-svg")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.getElementById('chart')._fullLayout.paper_bgcolor === '#15181c'")


@pytest.mark.browser
def test_scalars_can_be_drawn_over_anything(page_file, opened):
    page = opened(page_file)
    page.wait_for_selector("#chart .main-svg")
    values = "JSON.stringify([...document.getElementById('chart').data[0].y])"
    assert page.evaluate(values) == "[3,5,null]"
    page.select_option("#chart-x", "data.tokens")
    kind = page.evaluate("document.getElementById('chart').data[0].type")
    assert kind == "scatter"


def rows(page):
    """The first rows in sight, as lists of cells."""
    lines = page.locator("section.neurons tbody tr[data-row]").all()
    return [line.locator("td").all_inner_texts() for line in lines[:12]]


def headings(page):
    return [text.rstrip(" ▾▴") for text in page.locator("section.neurons thead th").all_inner_texts()]


@pytest.mark.browser
def test_neurons_are_searched_filtered_and_sorted(runs, page_file, opened):
    page = opened(page_file)
    table = "section.neurons "
    count = page.locator(table + ".count")
    search = page.locator(table + "input[type=search]")
    names = headings(page)
    assert names[:3] == ["model", "layer", "neuron"]
    assert count.inner_text() == "40 of 40 neurons"
    search.fill("L3.7")
    assert count.inner_text() == "1 of 40 neurons"
    assert rows(page)[0][:3] == ["a", "3", "7"]
    first = neuron_table()
    search.fill("excess_corr·A>0.5 L2")
    expected = int(((first["excess_corr"] > 0.5) & (first["layer"] == 2)).sum())
    assert count.inner_text() == f"{expected} of 40 neurons"
    search.fill("!universal·A")
    assert count.inner_text() == f"{int((~first['universal']).sum())} of 40 neurons"
    search.fill("unigram")
    assert count.inner_text() == "40 of 40 neurons"
    search.fill("no_column>1")
    assert page.locator(table + ".problem").inner_text() == 'there is no column "no_column"'
    search.fill("")
    heading = page.locator(table + "thead th").nth(names.index("excess_corr·B"))
    heading.click()
    shown = [row[names.index("excess_corr·B")] for row in rows(page)]
    second = neuron_table(seed=1)["excess_corr"]
    second[3] = float("nan")
    largest = second.sort_values(ascending=False).astype("float32")
    assert [float(cell) for cell in shown] == pytest.approx(largest[:12].tolist(), rel=1e-4)
    heading.click()
    shown = [row[names.index("excess_corr·B")] for row in rows(page)]
    assert float(shown[0]) == pytest.approx(second.min(), rel=1e-4)
    page.evaluate("document.querySelector('.neurons .viewport').scrollTop = 1e6")
    page.wait_for_function("document.querySelectorAll('.neurons tbody tr[data-row=\"3\"]').length === 1")
    assert page.locator(table + "tbody tr[data-row]").last.get_attribute("data-row") == "3"  # NaN comes last


@pytest.mark.browser
def test_a_dot_leads_to_its_row_and_columns_can_be_hidden(page_file, opened):
    page = opened(page_file)
    page.wait_for_selector("section.neurons .plot .main-svg")
    page.evaluate(
        "document.querySelector('.neurons .plot').emit('plotly_click', {points: [{pointIndex: 35}]})"
    )
    assert page.locator("section.neurons tr.chosen").get_attribute("data-row") == "35"
    before = headings(page)
    page.locator("section.neurons details summary").click()
    page.get_by_label("w_norm").uncheck()
    assert headings(page) == [name for name in before if name != "w_norm"]


@pytest.mark.browser
def test_many_neurons_are_filtered_quickly(tmp_path, opened):
    """As many as GPT2-small times some models; only the rows in sight become elements."""
    table = neuron_table(rows=98_304)
    make_run(tmp_path / "x" / "0", table)
    out = tmp_path / "page.html"
    assert main([str(tmp_path / "x"), "--out", str(out)]) == 0
    page = opened(out)
    assert page.locator("section.neurons .count").inner_text() == "98,304 of 98,304 neurons"
    assert page.locator("section.neurons tbody tr").count() < 60
    page.locator("section.neurons input[type=search]").fill("excess_corr>0.99")
    expected = int((table["excess_corr"] > 0.99).sum())
    assert page.locator("section.neurons .count").inner_text() == f"{expected:,} of 98,304 neurons"
