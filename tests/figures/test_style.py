"""The style is the same for everybody and leaves nothing behind."""

import gc
import subprocess
import sys
import weakref

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from un_lightning.figures import style as module
from un_lightning.figures.style import panels, style


def test_settings_of_the_user_neither_matter_nor_get_lost():
    with mpl.rc_context({"font.size": 30, "axes.grid": False, "lines.marker": "o"}):
        with style():
            assert mpl.rcParams["font.size"] == 10
            assert mpl.rcParams["axes.grid"] is True
            assert mpl.rcParams["lines.marker"] == "None"
        assert mpl.rcParams["font.size"] == 30
        assert mpl.rcParams["lines.marker"] == "o"


def test_as_a_decorator_it_holds_for_every_call():
    @style()
    def size():
        return mpl.rcParams["font.size"]

    with mpl.rc_context({"font.size": 30}):
        assert [size(), size(), mpl.rcParams["font.size"]] == [10, 10, 30]


def test_panels():
    figure, axes = panels(6.0, 3.0, columns=2)
    assert tuple(figure.get_size_inches()) == (6, 3)
    assert axes == figure.axes
    assert len(axes) == 2


def test_figures_are_freed_with_their_last_reference():
    figure, _ = panels(2.0, 1.0)
    alive = weakref.ref(figure)
    del figure, _
    gc.collect()
    assert alive() is None


@pytest.mark.slow
def test_pyplot_is_never_imported():
    code = "import sys, un_lightning.figures.correlation; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_colours_of_one_figure_differ_in_lightness():
    """So that a black-and-white print, or no colour vision at all, still tells them apart."""

    def lightness(colour):
        return sum(
            weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), to_rgb(colour), strict=True)
        )

    assert abs(lightness(module.MATCH) - lightness(module.BASELINE)) > 0.2
    assert abs(lightness(module.EXCESS) - lightness(module.INK)) > 0.2
