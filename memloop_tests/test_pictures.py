"""Pictures: every drawing is a readable PNG of one size, the same bytes for the same numbers, and takes what a thin week gives."""

import math
import struct
from collections.abc import Callable

import pytest

from memloop_assets.pictures import Point, as_markdown, draw_bars, draw_lines, draw_points


def scatter(*points: Point) -> bytes:
    return draw_points(points, title="2026-W12: promote", x_label="USD", y_label="mean reward")


def lines(values: dict[str, list[float]], ticks: list[str], *marks: str) -> bytes:
    return draw_lines(values, ticks, title="reward", y_label="mean reward", marks=marks)


def bars(values: dict[str, float]) -> bytes:
    return draw_bars(values, title="tiers", y_label="trajectories")


PICTURES: dict[str, Callable[[], bytes]] = {
    "points": lambda: scatter(Point("champion", 1.0, 0.5, 0.4, 0.6), Point("challenger", 0.2, 0.7, is_emphasised=True)),
    "no points": scatter,
    "a point at a cost that is not known": lambda: scatter(Point("champion", math.nan, 0.5, 0.4, 0.6)),
    "a label that looks like mathematics": lambda: scatter(Point("$x^_{", 1.0, 0.5), Point("costs $5", 1.0, 0.5)),
    "bars": lambda: bars({"HIGH": 1200, "MEDIUM": 0, "LOW": 3}),
    "no bars": lambda: bars({}),
    "lines": lambda: lines({"champion": [0.5, 0.6], "challenger": [0.4, 0.7]}, ["2026-W02", "2026-W03"], "2026-W03"),
    "no lines": lambda: lines({}, []),
    "lines with holes": lambda: lines(
        {"champion": [0.5, math.nan, 0.6], "challenger": [math.nan] * 3}, ["a", "b", "c"]
    ),
    "a year of weeks": lambda: lines(
        {"champion": [week / 52 for week in range(52)]}, [f"W{w}" for w in range(52)], "W7"
    ),
}


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_a_picture_is_a_png_of_one_size_and_the_same_bytes_every_time(draw: Callable[[], bytes]) -> None:
    png = draw()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (576, 306)
    assert len(png) < 40_000
    assert draw() == png


def test_every_number_that_a_picture_takes_changes_it() -> None:
    whole = Point("champion", 1.0, 0.5, 0.4, 0.6, is_emphasised=True)
    variants = [
        (whole,),
        (Point("challenger", 1.0, 0.5, 0.4, 0.6, is_emphasised=True),),
        (Point("champion", 1.0, 0.5, 0.4, 0.6),),
        (Point("champion", 1.0, 0.5, is_emphasised=True),),
        (Point("champion", 1.0, 0.55, 0.4, 0.6, is_emphasised=True),),
        (whole, Point("random", 2.0, 0.1)),
    ]
    ticks = ["a", "b", "c"]
    drawn = {scatter(*points) for points in variants}
    drawn |= {lines({"x": [0, 1, 2]}, ticks), lines({"x": [0, 1, 2]}, ticks, "b"), lines({"x": [0, 1, 3]}, ticks)}
    drawn |= {bars({"HIGH": 1}), bars({"HIGH": 2}), bars({"LOW": 1})}
    assert len(drawn) == len(variants) + 3 + 3


def test_markdown_carries_the_picture_inside_itself() -> None:
    assert as_markdown(b"\x00\xff", "reward") == "![reward](data:image/png;base64,AP8=)"
