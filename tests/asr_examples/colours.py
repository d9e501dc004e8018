"""How far two colours are apart, for everybody and for people who are colour-blind."""

from __future__ import annotations

import re
from collections.abc import Sequence

Linear = tuple[float, float, float]
"""Red, green and blue as light, each from 0 to 1."""

Matrix = tuple[Linear, Linear, Linear]

# Machado, Oliveira and Fernandes (2009), full severity.
SIGHTS: dict[str, Matrix] = {
    "full colour": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
_XYZ: Matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = (0.9505, 1.0, 1.089)


def linear(css: str) -> Linear:
    """Return an opaque colour that a browser computed, as ``rgb(1, 2, 3)``."""
    match = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", css)
    assert match, css
    red, green, blue = (_light(int(part) / 255) for part in match.groups())
    return red, green, blue


def _light(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted(_times(_XYZ, linear(css))[1] for css in (one, other))
    return (high + 0.05) / (low + 0.05)


def difference(one: str, other: str, sight: Matrix) -> float:
    """Return the distance in CIELAB: below 2 or so nobody sees it."""
    pairs = zip(_lab(_times(sight, linear(one))), _lab(_times(sight, linear(other))), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def _lab(colour: Linear) -> Linear:
    x, y, z = (_root(max(value, 0) / white) for value, white in zip(_times(_XYZ, colour), _WHITE, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _root(value: float) -> float:
    return float(value ** (1 / 3)) if value > 0.008856 else 7.787 * value + 16 / 116


def _times(matrix: Matrix, colour: Sequence[float]) -> Linear:
    one, two, three = (sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix)
    return one, two, three
