"""Small pictures for the UI's pages: PNG bytes drawn with matplotlib, which is imported only when something is drawn.

Knows axes and points, nothing of rooms; what is drawn is chosen where the numbers are.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#233142"
_COLOURS = ("#1f6f8b", "#e07a5f", "#81b29a", "#b08bbb", "#f2cc8f", "#5c6b73")


@dataclass(frozen=True, slots=True)
class Point:
    """A labelled point with an optional vertical interval."""

    label: str
    x: float
    y: float
    lower: float | None = None
    upper: float | None = None
    is_emphasised: bool = False


def draw_points(points: Sequence[Point], *, title: str, x_label: str, y_label: str) -> bytes:
    """Return a scatter of labelled points, emphasised ones filled, as PNG bytes."""
    figure, axes = _blank(title, x_label, y_label)
    for place, point in enumerate(points):
        colour = _COLOURS[place % len(_COLOURS)]
        if point.lower is not None and point.upper is not None:
            axes.plot([point.x, point.x], [point.lower, point.upper], color=colour, linewidth=1.5)
        face = colour if point.is_emphasised else "white"
        axes.plot(
            [point.x], [point.y], "o", color=colour, markerfacecolor=face, markersize=9 if point.is_emphasised else 7
        )
        axes.annotate(
            point.label,
            (point.x, point.y),
            xytext=(7, 6 if place % 2 else -13),
            textcoords="offset points",
            color=_INK,
            fontsize=8,
        )
    axes.margins(x=0.2, y=0.15)
    axes.set_xlim(left=min(0.0, *(point.x for point in points)) if points else 0.0)
    return _png(figure)


def draw_bars(bars: Mapping[str, float], *, title: str, y_label: str) -> bytes:
    """Return one bar per name, with its value on top, as PNG bytes."""
    figure, axes = _blank(title, "", y_label)
    drawn = axes.bar(list(bars), list(bars.values()), color=_COLOURS[0], width=0.6)
    axes.bar_label(drawn, fmt="{:,.0f}", fontsize=8, color=_INK)
    return _png(figure)


def draw_lines(
    lines: Mapping[str, Sequence[float]], ticks: Sequence[str], *, title: str, y_label: str, marks: Sequence[str] = ()
) -> bytes:
    """Return lines over shared ticks (NaN breaks a line), with vertical marks at named ticks, as PNG bytes."""
    figure, axes = _blank(title, "", y_label)
    places = range(len(ticks))
    for place, (name, values) in enumerate(lines.items()):
        axes.plot(places, values, "o-", color=_COLOURS[place % len(_COLOURS)], label=name, markersize=4)
    for tick in marks:
        axes.axvline(list(ticks).index(tick), color=_INK, alpha=0.25, linestyle=":")
    step = max(1, len(ticks) // 12)
    axes.set_xticks(list(places)[::step], list(ticks)[::step], rotation=40, ha="right", fontsize=7)
    if len(lines) > 1:
        axes.legend(fontsize=8, frameon=False)
    return _png(figure)


def as_markdown(png: bytes, alt: str) -> str:
    """Return Markdown that carries the picture inside itself."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})"


def _blank(title: str, x_label: str, y_label: str) -> tuple["Figure", "Axes"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, color=_INK, loc="left")
    axes.set_xlabel(x_label, fontsize=8)
    axes.set_ylabel(y_label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
