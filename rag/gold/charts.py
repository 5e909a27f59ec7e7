"""Small SVG charts for the reports: plain shapes with classes, coloured by the page's stylesheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rag.gold.stats import Interval

_WIDTH, _HEIGHT, _PAD = 150, 18, 6


def share_chart(after: Interval, before: Interval | None) -> str:
    """A mean in [0, 1] with its interval as a dot with a whisker; the old mean as a ring."""

    def x(value: float) -> float:
        return _PAD + min(1.0, max(0.0, value)) * (_WIDTH - 2 * _PAD)

    middle = _HEIGHT / 2
    ring = f'<circle class="old" cx="{x(before.mean):.1f}" cy="{middle}" r="4"/>' if before else ""
    label = f"{after.mean:.3f}, 95 % interval {after.low:.3f} to {after.high:.3f}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="{_PAD}" x2="{_WIDTH - _PAD}" y1="{middle}" y2="{middle}"/>'
        f'<line class="whisker" x1="{x(after.low):.1f}" x2="{x(after.high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'{ring}<circle class="point" cx="{x(after.mean):.1f}" cy="{middle}" r="3.5"/></svg>'
    )


def delta_chart(delta: Interval, reach: float, tone: str) -> str:
    """A difference with its interval around a line at 0; ``reach`` is the largest value to show, ``tone`` ``good``,
    ``bad`` or empty."""

    def x(value: float) -> float:
        return _WIDTH / 2 + max(-1.0, min(1.0, value / reach)) * (_WIDTH / 2 - _PAD)

    middle = _HEIGHT / 2
    label = f"change {delta.mean:+.3f}, 95 % interval {delta.low:+.3f} to {delta.high:+.3f}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="{_WIDTH / 2}" x2="{_WIDTH / 2}" y1="1" y2="{_HEIGHT - 1}"/>'
        f'<line class="whisker {tone}" x1="{x(delta.low):.1f}" x2="{x(delta.high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="point {tone}" cx="{x(delta.mean):.1f}" cy="{middle}" r="3.5"/></svg>'
    )


def strip_chart(values: Sequence[float], marks: Sequence[float]) -> str:
    """Each value as a thin tick from 0 to the largest, ``marks`` (median, 95th percentile) as tall lines."""
    width = 320
    top = max([*values, *marks, 1e-9])

    def x(value: float) -> float:
        return _PAD + value / top * (width - 2 * _PAD)

    ticks = "".join(f'<rect class="tick" x="{x(v):.1f}" y="5" width="1.5" height="9"/>' for v in values[:2_000])
    lines = "".join(f'<line class="whisker" x1="{x(m):.1f}" x2="{x(m):.1f}" y1="1" y2="18"/>' for m in marks)
    shape = f'viewBox="0 0 {width} 19" width="{width}" height="19"'
    label = f"distribution of {len(values)} values"
    return f'<svg {shape} role="img" aria-label="{label}">{ticks}{lines}</svg>'


def scatter_chart(points: Sequence[tuple[str, float, float, float, float]], x_title: str, y_title: str) -> str:
    """Points ``(name, x, y, y low, y high)`` numbered from 1 as they come, with whiskers; their names show on hovering.

    x begins at 0; y goes from the smallest low to the largest high, and at least over 0.1. Points that would cover each
    other share a label.
    """
    width, height, left, bottom = 640, 340, 60, 44
    x_top = max([x for _, x, *_ in points] + [1e-9])
    ys = [y for point in points for y in point[3:]]
    y_low = min(min(ys), max(ys) - 0.1)
    y_span = max(ys) - y_low

    def at(x: float, y: float) -> tuple[float, float]:
        across = left + x / x_top * (width - left - 80)
        return across, height - bottom - 14 - (y - y_low) / y_span * (height - bottom - 34)

    marks: dict[tuple[int, int], list[str]] = {}
    parts = [_axes(width, height, left, bottom, x_title, y_title)]
    for value in (0.0, x_top):
        parts.append(_tick(at(value, y_low)[0], height - bottom + 16, "middle", value))
    for value in (y_low, y_low + y_span):
        parts.append(_tick(left - 6, at(0.0, value)[1] + 4, "end", value))
    for number, (name, x, y, low, high) in enumerate(points, 1):
        across, up = at(x, y)
        ends = f'y1="{at(x, low)[1]:.1f}" y2="{at(x, high)[1]:.1f}"'
        parts.append(
            f"<g><title>{escape(name)}</title>"
            f'<line class="whisker" x1="{across:.1f}" x2="{across:.1f}" {ends}/>'
            f'<circle class="point" cx="{across:.1f}" cy="{up:.1f}" r="5"/></g>'
        )
        marks.setdefault((round(across / 14), round(up / 14)), []).append(str(number))
    for (column, row), numbers in marks.items():
        parts.append(f'<text x="{column * 14 + 12}" y="{row * 14 + 4}">{", ".join(numbers)}</text>')
    style = "font: 12px sans-serif; fill: currentColor"
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" style="{style}" role="img">{"".join(parts)}</svg>'


def _axes(width: int, height: int, left: int, bottom: int, x_title: str, y_title: str) -> str:
    turned = f"rotate(-90 14 {height / 2})"
    return (
        f'<line class="axis" x1="{left}" x2="{width - 10}" y1="{height - bottom}" y2="{height - bottom}"/>'
        f'<line class="axis" x1="{left}" x2="{left}" y1="10" y2="{height - bottom}"/>'
        f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle">{escape(x_title)}</text>'
        f'<text x="14" y="{height / 2}" text-anchor="middle" transform="{turned}">{escape(y_title)}</text>'
    )


def _tick(x: float, y: float, anchor: str, value: float) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{value:.3g}</text>'
