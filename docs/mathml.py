"""Turn the formulas of a page into MathML when the documentation is built: pages need no script and work offline."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Replace every formula; called by mkdocs for each page.

    Parameters
    ----------
    content : str
        HTML with formulas as pymdownx.arithmatex leaves them.
    """
    content = _DISPLAY.sub(lambda found: convert(html.unescape(found[1]), display="block"), content)
    return _INLINE.sub(lambda found: convert(html.unescape(found[1])), content)
