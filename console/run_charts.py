"""The course of a metric as a small picture: SVG for the inside of a page, drawn by pygal, coloured by the page."""

from __future__ import annotations

import math
import re
import sys
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from xml.etree.ElementTree import Element

    from runtime.site import Point

POINTS_MOST, DOTS_MOST, TICKS = 400, 30, 6
WIDTH, HEIGHT, FONT = 340, 215, 11
NAME_MOST = 28
ORDER, STEP = "order of logging", "step"
DROPPED, OVERLAYS = {"defs", "script", "style", "title"}, ("text-overlay", "tooltip-overlay")
_NAMESPACE = re.compile(r' xmlns(?::\w+)?="[^"]*"')
_UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't hold (its production 2, Char)."""


def chart(name: str, points: Sequence[Point], identity: str) -> str:
    """Draw one metric, its axes named. `identity`: the picture's id in its page. Pure."""
    pygal, etree = _library()
    across, pairs = axes(points)
    drawn = thinned(pairs)
    right, up = Scale([x for x, _ in drawn]), Scale([y for _, y in drawn])
    font = dict.fromkeys(("label_font_size", "major_label_font_size", "title_font_size"), FONT)
    picture = pygal.XY(
        css=(), js=(), style=pygal.style.Style(**font), width=WIDTH, height=HEIGHT, show_legend=False,
        show_dots=len(drawn) <= DOTS_MOST, dots_size=2.5, margin=6, truncate_label=-1, x_title=across,
        y_title=short(plain(name)), x_labels=right.labels(whole=True), y_labels=up.labels(), range=(0, 1),
        xrange=(0, 1),
    )  # fmt: skip
    picture.add(
        "",
        [
            {"value": (right.place(x), up.place(y)), "formatter": lambda _at, x=x, y=y: f"{figure(x)}: {figure(y)}"}
            for x, y in drawn
        ],
    )
    root = picture.render_tree()
    _bare(root)
    for key, value in (("id", identity), ("role", "img"), ("aria-label", f"{plain(name)} by {across}")):
        root.set(key, value)
    return _NAMESPACE.sub("", etree.tostring(root, encoding="unicode"))


def _library() -> tuple[ModuleType, ModuleType]:
    """Load pygal and what it writes XML with.

    pygal 3.1 leaves an import hook behind, for plug-ins with maps, that newer Pythons warn of at every later import.
    """
    import pygal
    from pygal.etree import etree

    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != pygal.__name__]
    return pygal, etree


def _bare(root: Element) -> None:
    """Leave shapes and words: no script, no style (the page has its own), no comment; a point's value is its title."""
    for parent in list(root.iter()):
        for child in list(parent):
            if not _stays(child):
                parent.remove(child)
            elif child.tag.endswith("desc"):
                child.tag = child.tag.removesuffix("desc") + "title"
                del child.attrib["class"]


def _stays(child: Element) -> bool:
    if not isinstance(child.tag, str):
        return False
    name, kind = child.tag.rpartition("}")[2], child.get("class", "")
    return not (name in DROPPED or kind.endswith(OVERLAYS) or (name == "desc" and kind != "value"))


def axes(points: Sequence[Point]) -> tuple[str, list[tuple[float, float]]]:
    """Return what the horizontal axis is, and the pairs to draw: by step, or by order where the steps don't tell.

    What is no finite number can't be drawn and is left out.
    """
    finite = [point for point in points if math.isfinite(point.value)]
    if len({point.step for point in finite}) < len(finite):
        return ORDER, [(place, point.value) for place, point in enumerate(finite, 1)]
    return STEP, sorted((point.step, point.value) for point in finite)


def thinned(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `POINTS_MOST` pairs that look the same: of each stretch the least and the most."""
    if len(pairs) <= POINTS_MOST:
        return list(pairs)
    width = math.ceil(len(pairs) / (POINTS_MOST // 2))
    found = list[tuple[float, float]]()
    for start in range(0, len(pairs), width):
        stretch = pairs[start : start + width]
        ends = {min(stretch, key=lambda pair: pair[1]), max(stretch, key=lambda pair: pair[1])}
        found += sorted(ends)
    return found


class Scale:
    """One axis: values placed between 0 and 1, and round figures beside it. Exact, so that no range is too wide."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low, self.high = exact(min(values)), exact(max(values))
        self.span = self.high - self.low

    def place(self, value: float) -> float:
        """Return where a value is; in the middle where all are the same."""
        return float((exact(value) - self.low) / self.span) if self.span else 0.5

    def labels(self, *, whole: bool = False) -> list[dict[str, object]]:
        """Return the figures inside the range, as pygal takes them."""
        return [{"value": self.place(tick), "label": figure(tick)} for tick in self.ticks(whole=whole)]

    def ticks(self, *, whole: bool = False) -> list[float]:
        """Return round figures inside the range: steps of 1, 2 or 5 times a power of ten."""
        if not self.span:
            return [float(self.low)]
        rough = self.span / (TICKS - 1)
        power = Fraction(10) ** math.floor(math.log10(rough.numerator) - math.log10(rough.denominator))
        step = next((power * factor for factor in (1, 2, 5) if power * factor >= rough), power * 10)
        step = max(Fraction(1), step) if whole else step
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [float(place * step) for place in range(first, last + 1)]


def exact(value: float) -> Fraction:
    """Return a number as it is written: 0.1 is a tenth."""
    return Fraction(repr(float(value)))


def figure(value: float) -> str:
    """Write a value."""
    return f"{value:.6g}"


def plain(text: str) -> str:
    """Return a text without the characters that XML can't hold."""
    return _UNWRITABLE.sub("\ufffd", text)


def short(name: str) -> str:
    """Return a name that fits beside a picture."""
    return name if len(name) <= NAME_MOST else name[: NAME_MOST - 1] + "…"
