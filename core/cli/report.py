"""What a run leaves behind beside its picture: the history as CSV or JSON, and a plot of the losses."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence

HISTORY_SUFFIXES = (".csv", ".json")
PLOT_SUFFIXES = (".png", ".svg", ".pdf")
#: Color-blind safe (Okabe and Ito 2008).
CURVES = {"total": "#000000", "content": "#0072B2", "style": "#D55E00", "tv": "#009E73"}


def history_bytes(history: Sequence[dict[str, float]], suffix: str) -> bytes:
    """One row (CSV) or object (JSON) per evaluation; numbers in full precision. JSON has null for a loss that is not finite, as
    a trial's of a line search may be."""
    if suffix.lower() == ".json":
        rows = [{name: value if math.isfinite(value) else None for name, value in row.items()} for row in history]
        return (json.dumps(rows, indent=1) + "\n").encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]) if history else ["step"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def plot_bytes(history: Sequence[dict[str, float]], suffix: str, title: str) -> bytes:
    """The weighted losses against steps, logarithmic, as the bytes of an image file."""
    # Not pyplot, which has global state and asks for a window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, color in CURVES.items():
        # A loss of exactly 0 (the content's, at the start) has no place on a logarithmic axis.
        # What a line search tried and did not take belongs to no step.
        rows = [row for row in history if row[name] > 0 and not row.get("trial")]
        if not rows:
            continue  # a recipe without this term
        axes.plot([row["step"] for row in rows], [row[name] for row in rows], color=color, label=name, linewidth=1.6)
    axes.set(yscale="log", xlabel="step", ylabel="weighted loss", title=title)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(CURVES))
    file = io.BytesIO()
    figure.savefig(file, format=suffix.lower().lstrip("."), dpi=150)
    return file.getvalue()
