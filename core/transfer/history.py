"""The losses of a run so far, and whether it still makes sense to go on."""

from __future__ import annotations

from isostyle.recipe import Recipe
from isostyle.transfer.descent import Event, ExplodingLoss

#: A total has exploded if it is so many times the largest of so many first ones. (Adam's first steps, from a photograph whose
#: total is small, may well make it ten times as large.)
EXPLOSION, EXPLOSION_FROM = 1000, 10


class History:
    """One row for each evaluation, from the first on; interruptions leave no gap. ``rows`` are those of an earlier process."""

    def __init__(self, recipe: Recipe, rows: list[dict[str, float]]) -> None:
        self.recipe = recipe
        #: As :class:`isostyle.Result` has them.
        self.rows: list[dict[str, float]] = []
        #: The last event of this process that was no trial of a line search, and its row.
        self.last: tuple[Event, dict[str, float]] | None = None
        #: Of these, the one with the lowest total at its size.
        self.best: tuple[Event, dict[str, float]] | None = None
        #: The first totals, by height where there are levels.
        self.first_totals: dict[float | None, list[float]] = {}
        for row in rows:
            self.append(row)

    def add(self, event: Event) -> None:
        """Raises ExplodingLoss if the run should not go on."""
        row: dict[str, float] = {"step": event.step, "evaluation": event.evaluation, "learning_rate": event.learning_rate}
        if self.recipe.searches:
            row["trial"] = float(event.trial)
        if self.recipe.pyramid:
            row |= {"height": event.size[0], "width": event.size[1]}
        self.append({**row, **event.losses, **event.terms})
        if not event.trial:
            self.last = event, self.rows[-1]
            # As long as totals fall, this is the last one, and takes no memory for a picture of its own.
            if self.best is None or self.best[0].size != event.size or event.losses["total"] <= self.best[1]["total"]:
                self.best = self.last

    def append(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        if not row.get("trial"):  # those may explode
            require_sane(row, self.first_totals.setdefault(row.get("height"), []))

    def levels(self) -> list[list[dict[str, float]]]:
        """The rows of each size, without a line search's trials; a run without a pyramid has one."""
        found: dict[float | None, list[dict[str, float]]] = {}
        for row in self.rows:
            if not row.get("trial"):
                found.setdefault(row.get("height"), []).append(row)
        return list(found.values())

    def first_like(self, row: dict[str, float]) -> dict[str, float]:
        """The first row of the same size: losses of smaller pictures are not to be compared."""
        return next(each for each in self.rows if all(each.get(side) == row.get(side) for side in ("height", "width")))


def require_sane(row: dict[str, float], totals: list[float]) -> None:
    """Raises ExplodingLoss if the total of a row is far above ``totals``, the first ones; it joins them if they are few."""
    total = row["total"]
    if len(totals) < EXPLOSION_FROM:
        totals.append(total)
    elif 0 < EXPLOSION * max(totals) < total:
        raise ExplodingLoss(total, max(totals), int(row["step"]))
