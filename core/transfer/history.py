"""What a run has done so far: its losses, what computed it, and how long that took."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from isostyle.recipe import Recipe
from isostyle.transfer.checkpoint import RunCheckpoint
from isostyle.transfer.descent import Event, ExplodingLoss

#: A total has exploded if it is so many times the largest of so many first ones. (Adam's first steps, from a photograph whose
#: total is small, may well make it ten times as large.)
EXPLOSION, EXPLOSION_FROM = 1000, 10


class History:
    """A run so far, from its first evaluation on; interruptions leave no gap.

    Args:
        computer: the framework, device and threads that compute from here on, ready for JSON.
        before: where the run stood when it was interrupted.
        diverged: why earlier attempts were given up.
    """

    def __init__(
        self, recipe: Recipe, computer: dict[str, Any], before: RunCheckpoint | None = None, diverged: Sequence[str] = ()
    ) -> None:
        self.recipe = recipe
        self.diverged = list(diverged)
        #: As :class:`isostyle.Result` has them.
        self.rows: list[dict[str, float]] = list(before.history) if before else []
        #: What computed, one after another.
        self.computers = list(before.backends) if before else []
        if computer not in self.computers[-1:]:
            self.computers.append(computer)
        #: The last event that was no trial of a line search, and its row. None in this process so far.
        self.last: tuple[Event, dict[str, float]] | None = None
        #: The first totals, by height where there are levels.
        self.first_totals: dict[float | None, list[float]] = {}
        self.earlier = before.seconds if before else 0.0
        self.began = time.monotonic()
        for row in self.rows:
            self.require_sane(row)

    @property
    def seconds(self) -> float:
        return self.earlier + time.monotonic() - self.began

    def add(self, event: Event) -> None:
        """Raises ExplodingLoss if the run should not go on."""
        row: dict[str, float] = {"step": event.step, "evaluation": event.evaluation, "learning_rate": event.learning_rate}
        if self.recipe.searches:
            row["trial"] = float(event.trial)
        if self.recipe.pyramid:
            row |= {"height": event.size[0], "width": event.size[1]}
        row |= {**event.losses, **event.terms}
        self.rows.append(row)
        self.require_sane(row)
        if not event.trial:
            self.last = event, row

    def require_sane(self, row: Mapping[str, float]) -> None:
        """Raises ExplodingLoss if the total of ``row`` is far above the first ones at its size. A trial may be."""
        if not row.get("trial"):
            require_sane(row, self.first_totals.setdefault(row.get("height"), []))

    def first_like(self, row: Mapping[str, float]) -> dict[str, float]:
        """The first row of the same size: losses of smaller pictures are not to be compared."""
        return next(each for each in self.rows if all(each.get(side) == row.get(side) for side in ("height", "width")))


def require_sane(row: Mapping[str, float], totals: list[float]) -> None:
    """Raises ExplodingLoss if the total of a row is far above ``totals``, the first ones at its size; it joins them if they are
    few."""
    total = row["total"]
    if len(totals) < EXPLOSION_FROM:
        totals.append(total)
    elif 0 < EXPLOSION * max(totals) < total:
        raise ExplodingLoss(total, max(totals), int(row["step"]))
