"""A run that is under way: show how it goes, heed signals, write what it made, and say what became of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from isostyle.cli.interrupts import Interrupt, interruptible
from isostyle.cli.outputs import Outputs, write
from isostyle.cli.pipes import PIPE
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import IsostyleError
from isostyle.images import encode, transparency
from isostyle.images.colors import shown_in
from isostyle.images.encode import Finished
from isostyle.recipe import Recipe
from isostyle.system.files import reason
from isostyle.transfer.descent import Event
from isostyle.transfer.stylize import Interrupted, Result, Stopped


@dataclass
class Watch:
    """What a run is given, ``callback`` and ``told.line``, and what comes of it."""

    recipe: Recipe
    told: Teller
    interrupt: Interrupt
    #: None if the run writes nothing.
    outputs: Outputs | None = None
    result: Result | None = None
    #: What ended the run early. ``result`` is the last good picture then.
    problem: Stopped | Interrupted | None = None
    #: The last event that was no trial of a line search, whose losses are nobody's.
    last: Event | None = None

    def callback(self, event: Event) -> None:
        if not event.finished:
            self.interrupt.heed()
        self.interrupt.waits = True
        if not event.trial:
            self.last = event
        self.show(event)
        every = self.outputs.save_every if self.outputs else None
        if every and event.step > 0 and event.step % every == 0 and not (event.finished or event.trial):
            self.save_stage(event)

    def show(self, event: Event) -> None:
        """Tell the losses: beside a bar on a terminal; elsewhere in lines, as often as the recipe's source prints them."""
        total, done = event.planned, event.done * event.planned
        eta = self.told.eta(done, total)
        if self.told.bar(round(done), total, self.losses(event, digits=3)):
            return
        if event.finished:
            self.told.line(f"result  {self.losses(event)}")
        elif self.recipe.report.due(event.evaluation):
            self.told.line(f"evaluation {event.evaluation:>{len(str(total))}}/{total}  {self.losses(event)}{eta}")

    def losses(self, event: Event, digits: int = 6) -> str:
        """The losses of ``event``, or if it is a trial, of the last one before it that was none."""
        terms = (self.last or event).losses
        return "  ".join(f"{name} {terms[name] * factor:.{digits}g}" for name, factor in self.recipe.report.values)

    def save_stage(self, event: Event) -> None:
        assert self.outputs is not None
        image, space, gray, path = event.image(), self.recipe.space, event.gray, self.outputs.stage(event.step)
        alpha = transparency.at_size(event.alpha, *event.size)
        stage = Finished(*shown_in(image, space, gray=gray, photograph=event.photograph), alpha)
        try:
            encode.save(stage, path, self.outputs.options)
        except (OSError, ValueError) as error:
            # The run is worth more than one of its stages.
            self.told.line(f"cannot write {str(path)!r}: {reason(error)}")


@contextlib.contextmanager
def watched(recipe: Recipe, outputs: Outputs | None, checkpoint: Path | None = None, *, quiet: bool) -> Iterator[Watch]:
    """Show how a run goes that sets the ``result`` of its watch; then write it, if there are ``outputs``.

    A Stopped or an Interrupted that has a picture becomes the ``problem`` of the watch. The checkpoint of a finished run goes.

    Raises:
        IsostyleError: the run was stopped, or something cannot be written.
        click.exceptions.Exit: it was interrupted.
    """
    with interruptible() as interrupt:
        with teller(quiet) as told:
            watch = Watch(recipe, told, interrupt, outputs)
            told.bar(0, recipe.updates)
            try:
                yield watch
            except (Stopped, Interrupted) as error:
                if error.result is None:
                    if isinstance(error, Interrupted):
                        interrupt.heed()
                    raise
                watch.result, watch.problem = error.result, error
            interrupt.ignored = True
        if outputs is not None and watch.result is not None:
            finish(watch, watch.result, outputs, checkpoint, quiet=quiet)


def finish(watch: Watch, result: Result, outputs: Outputs, checkpoint: Path | None, *, quiet: bool) -> None:
    """Write what a run made, and say what became of it; raises as :func:`watched`."""
    told, problem = result.manifest, watch.problem
    write(result, outputs, f"{watch.recipe.name} on {told['backend']['name']}")
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
        line = f"wrote {readable(outputs.name)}: {done} steps in {told['seconds']:.1f} s, total loss {first:.4g} -> {last:.4g}"
        click.echo(line + where, err=outputs.picture == PIPE)
