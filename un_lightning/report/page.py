"""Templates become self-contained pages: every value escaped, every script and style inside."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("un_lightning", "report/templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["inline"] = _inline
    environment.globals["plotly"] = _plotly
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":")}
    return environment


def render(template: str, **values: Any) -> str:
    """Fill a template. Text from runs and data is escaped, also where it stands in a script.

    Args:
        template: File in `templates/`.
        values: What it shows; leaving one out is an error.
    """
    return _environment().get_template(template).render(**values)


def _inline(name: str) -> Markup:
    """One of this package's own style sheets or scripts, as it is."""
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), name)[0])  # noqa: S704 - a file of this package


def _plotly() -> Markup:
    """Plotly's library, from its package."""
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())  # noqa: S704 - Plotly's own file
