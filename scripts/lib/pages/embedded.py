"""Embedded: figures as elements of a page that loads nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bokeh.document import Document
from bokeh.embed import components
from bokeh.resources import Resources
from markupsafe import escape

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_MODEL = re.compile(r'(?<=")p\d{4,}(?=\\?")')


def embed(figures: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the page's script (with the library itself) and one HTML element per figure.

    Bokeh marks its elements with random ids and counts its models on within a process; both are
    numbered here, so that the same run gives the same page.

    Parameters
    ----------
    figures
        Bokeh figures by name; None = there is no data for it.

    Returns
    -------
    tuple of str and dict
        The script, and the elements by name, of figures that are there; a title is text above its
        figure, so that a narrow page breaks it and does not cut it.
    """
    shown = {name: plot for name, plot in figures.items() if plot is not None}
    if not shown:
        return "", {}
    library = Resources(mode="inline", components=["bokeh"]).render()
    titles = {name: _title(plot) for name, plot in shown.items()}
    _gather(shown)
    script, parts = components(shown)
    ids = list(dict.fromkeys(_UUID.findall(script)))
    stable = {old: f"plot-{i}" for i, old in enumerate(ids)}

    models: dict[str, str] = {}

    def _named(text: str) -> str:
        text = _UUID.sub(lambda match: stable.get(match.group(), match.group()), text)
        return _MODEL.sub(lambda match: models.setdefault(match[0], f"m{len(models)}"), text)

    return library + _named(script), {
        name: titles[name] + _named(part) for name, part in parts.items()
    }


def _gather(figures: Mapping[str, Any]) -> None:
    """Give figures their document at once: one by one Bokeh looks through all of them each time."""
    document = Document()
    with document.models.freeze():
        for plot in figures.values():
            document.add_root(plot)


def _title(plot: Any) -> str:  # noqa: ANN401 - a Bokeh figure
    """Take the title out of a figure, as an element of its own."""
    text = plot.title.text if plot.title is not None else ""
    plot.title = None
    return f'<p class="plot-title">{escape(text)}</p>' if text else ""
