"""Lists as a browser of the repository reads them, for Python-Markdown.

CommonMark takes what is indented as far as an item's words to belong to the item: two or three
spaces. Python-Markdown wants four, and ends the list else.
"""

from __future__ import annotations

import re

__all__ = ["widened"]

_ITEM = re.compile(r"(?:[-*]|\d{1,2}\.) (?=\S)")
_FENCE = re.compile(r"(`{3,}|~{3,})")
_WIDTH = 4


def widened(markdown: str) -> str:
    r"""What belongs to an item of a list, indented by four spaces.

    >>> print(widened("1. Make it:\n\n       make\n\n   Look at it.\n2. Done\n"), end="")
    1. Make it:
    <BLANKLINE>
            make
    <BLANKLINE>
        Look at it.
    <BLANKLINE>
    2. Done
    """
    found: list[str] = []
    width, fence, apart = 0, "", False
    for line in markdown.splitlines(keepends=True):
        item = _ITEM.match(line)
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            width, fence, apart = 0, mark[1], False
        elif item:
            if apart and found[-1].strip():
                found.append("\n")  # else it would go on with the paragraph above
            width, apart = len(item[0]), False
        elif width and not line.strip():
            apart = True
        elif width:
            if line.startswith(" " * width):
                found.append(" " * max(0, _WIDTH - width) + line)
                continue
            if not found[-1].strip():
                width, apart = (
                    0,
                    False,
                )  # after an empty line, what is not indented is no longer of the list
        found.append(line)
    return "".join(found)
