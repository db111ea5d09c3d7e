"""Put the newest study's answers into the pages: python docs/fill_study.py

What stands between `<!-- study NAME -->` and `<!-- end -->` of a page is replaced by that part of
`docs/study/verdicts.txt`, which `reproduce.py` wrote as `results/verdicts.md`: its sentences, its
questions or its verdicts.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: The parts of `verdicts.txt`, in their order.
PARTS = ("sentences", "questions", "verdicts")

#: The pages with such blocks.
PAGES = ("README.md", "docs/reproduction.md", "docs/verdicts.md")


def filled(page: str, verdicts: str) -> str:
    """A page's text with its blocks replaced.

    Args:
        page: its text.
        verdicts: the text of `verdicts.txt`.

    Raises:
        ValueError: `verdicts.txt` has another number of parts.
        KeyError: a block has an unknown name.
    """
    parts = dict(zip(PARTS, verdicts.strip().split("\n\n"), strict=True))
    parts["sentences"] = parts["sentences"].replace("\n", "\n\n")
    return re.sub(
        r"(<!-- study (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{parts[found[2]]}\n\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    answers = (ROOT / "docs/study/verdicts.txt").read_text(encoding="utf-8")
    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        (ROOT / name).write_text(filled(text, answers), encoding="utf-8")
