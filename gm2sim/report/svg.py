"""Figures as SVG inside the page: text stays text, colours follow the page's light or dark theme."""

import io
import re

import matplotlib
from markupsafe import Markup, escape

from gm2sim.plots.style import BLUE, GREEN, GRID, INK, MUTED, ORANGE, PURPLE, Plot

# What the figures are drawn with -> the variable of the style sheet.
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--grid",
    BLUE: "--blue", ORANGE: "--orange", GREEN: "--green", PURPLE: "--purple",
}  # fmt: skip
_FONT = re.compile(r"font: (?:[a-z0-9]+ )*?([\d.]+)px [^;\"]+")


def inline_svg(plot: Plot, name: str) -> Markup:
    """An <svg> element with its alternative text.

    Parameters
    ----------
    plot : Plot
    name : str
        Prefix of the ids inside, unique in the page; equal figures give equal text.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        plot.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, dpi=110)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = _FONT.sub(r"font-size: \1px", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(f": {colour}", f": var({variable})")
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    box = re.search(r'viewBox="[^"]+"', text)
    head = f'<svg {box[0] if box else ""} role="img" aria-labelledby="{name}-alt"><title id="{name}-alt">'
    body = text[text.index(">") + 1 :]
    # The figure is our own drawing: nothing of a user's is in it but what matplotlib has escaped.
    return Markup(head) + escape(plot.alt) + Markup("</title>" + body)
