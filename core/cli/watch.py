"""A run that is under way: show how it goes, heed signals, and say what became of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from isostyle.cli.interrupts import Interrupt
from isostyle.cli.outputs import Outputs, stage_path, write
from isostyle.cli.pipes import PIPE
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import IsostyleError
from isostyle.images import arrays, encode
from isostyle.images.arrays import Rounded
from isostyle.images.encode import Finished
from isostyle.recipe import Recipe
from isostyle.system.files import reason
from isostyle.transfer.descent import Event
from isostyle.transfer.stylize import Interrupted, Result, Stopped


class Report:
    """The losses of a run: beside a bar on a terminal; elsewhere in lines, as often as the recipe's source prints them."""

    def __init__(self, recipe: Recipe, told: Teller) -> None:
        self.recipe, self.told = recipe, told
        #: When the first event came, and what share of the work lay behind it: of a run that was resumed, an earlier session's.
        self.began: tuple[float, float] | None = None
        #: The last event that was no trial of a line search, whose losses are nobody's.
        self.last: Event | None = None
        told.bar(0, recipe.updates)

    def event(self, event: Event) -> None:
        """Called with every event, whether a line is due or not."""
        now = time.monotonic()
        self.began = self.began or (now, event.done)
        if not event.trial:
            self.last = event
        total, done = event.planned, event.done
        if self.told.bar(round(done * total), total, self.losses(event, digits=3)):
            return
        if event.finished:
            self.told.line(f"result  {self.losses(event)}")
        elif self.recipe.report.due(event.evaluation):
            since, before = self.began
            left = (now - since) / (done - before) * (1 - done) if done > before else 0
            eta = f"  eta {left:.0f} s" if left > 0 else ""
            self.told.line(f"evaluation {event.evaluation:>{len(str(total))}}/{total}  {self.losses(event)}{eta}")

    def losses(self, event: Event, digits: int = 6) -> str:
        """The losses of ``event``, or if it is a trial, of the last one before it that was none."""
        event = self.last or event
        values = ((name, event.losses[name] * factor) for name, factor in self.recipe.report.values)
        return "  ".join(f"{name} {value:.{digits}g}" for name, value in values)


@dataclass
class Watch:
    """What a run is given, ``callback`` and ``log``, and what comes of it."""

    report: Report
    interrupt: Interrupt
    #: Where the pictures of ``--save-every`` go; None if the run writes nothing.
    outputs: Outputs | None
    result: Result | None = None
    #: What ended the run early. ``result`` is the last good picture then.
    problem: Stopped | Interrupted | None = None

    def log(self, line: str) -> None:
        self.report.told.line(line)

    def callback(self, event: Event) -> None:
        if not event.finished:
            self.interrupt.heed()
        self.interrupt.later()
        self.report.event(event)
        every = self.outputs.save_every if self.outputs else None
        if every and event.step > 0 and event.step % every == 0 and not (event.finished or event.trial):
            self.save_stage(event)

    def save_stage(self, event: Event) -> None:
        assert self.outputs is not None
        image, space = event.image(), self.report.recipe.space
        path = stage_path(self.outputs.picture, event.step)
        try:
            encode.save(Finished(arrays.to_picture(image, space), Rounded(image, space)), path, self.outputs.options)
        except (OSError, ValueError) as error:
            # The run is worth more than one of its stages.
            self.log(f"cannot write {str(path)!r}: {reason(error)}")


@contextlib.contextmanager
def watched(recipe: Recipe, outputs: Outputs | None, interrupt: Interrupt, *, quiet: bool) -> Iterator[Watch]:
    """Show how a run goes. A Stopped or an Interrupted that has a picture ends here, as the ``problem`` of the watch. Behind
    this signals are ignored, so that what was made can be written."""
    with teller(quiet, "losses") as told:
        watch = Watch(Report(recipe, told), interrupt, outputs)
        try:
            yield watch
        except (Stopped, Interrupted) as error:
            if error.result is None:
                if isinstance(error, Interrupted):
                    interrupt.heed()
                raise
            watch.result, watch.problem = error.result, error
        interrupt.ignore()


def finish(watch: Watch, outputs: Outputs, checkpoint: Path | None = None, *, quiet: bool) -> Result:
    """Write what a run made, and say what became of it. The checkpoint of a finished run goes.

    Raises:
        IsostyleError: the run was stopped, or something cannot be written.
        click.exceptions.Exit: it was interrupted.
    """
    result, problem = watch.result, watch.problem
    assert result is not None
    told = result.manifest
    write(result, outputs, f"{watch.report.recipe.name} on {told['backend']['name']}")
    if checkpoint and problem is None:
        # Not earlier: a large picture takes seconds to write, in which the run can still be killed.
        with contextlib.suppress(OSError):
            checkpoint.unlink(missing_ok=True)
    done, size = told["steps_done"], told["size"]
    coarse = "" if size == told["inputs"]["content"]["resized_to"] else ", at {}x{} of a coarse level,".format(*size)
    place = "went to standard output" if outputs.picture == PIPE else f"is kept in {str(outputs.picture)!r}"
    kept = f"the picture of step {done}{coarse} {place}"
    if isinstance(problem, Stopped):
        raise IsostyleError(f"{problem}; {kept}") from problem
    if problem is not None:
        go_on = f"; `isostyle resume {readable(checkpoint)}` goes on" if checkpoint and checkpoint.exists() else ""
        click.echo(f"isostyle: interrupted; {kept}{go_on}", err=True)
        raise click.exceptions.Exit(watch.interrupt.exit_code)
    if not quiet:
        first, last = (told["losses"][which]["total"] for which in ("first", "last"))
        where = f"; manifest in {readable(outputs.manifest)}" if outputs.manifest else ""
        name = outputs.name if outputs.picture == PIPE else readable(outputs.picture)
        line = f"wrote {name}: {done} steps in {told['seconds']:.1f} s, total loss {first:.4g} -> {last:.4g}{where}"
        click.echo(line, err=outputs.picture == PIPE)
    return result
