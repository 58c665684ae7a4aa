"""Let a run go, show how it goes, and write what it makes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isostyle.cli.interrupts import Interrupt, interruptible
from isostyle.cli.outputs import Outputs, deliver, stage_path, write_beside
from isostyle.cli.pipes import PIPE
from isostyle.cli.progress import Teller, readable, teller
from isostyle.errors import (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    IsostyleError,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from isostyle.recipe import Recipe
    from isostyle.transfer.descent import Event
    from isostyle.transfer.stylize import Interrupted, Result, Stopped


def produce(make: Callable[..., Result], settings: Recipe, outputs: Outputs, checkpoint: Path | None, *, quiet: bool) -> Result:
    """Let ``make`` run, which takes a callback and a log; show how it goes, and write what it makes."""
    from isostyle.cli.report import history_bytes, plot_bytes
    from isostyle.images import arrays, encode, suffixes
    from isostyle.images.deep import Rounded
    from isostyle.system.files import reason
    from isostyle.transfer import stylize

    output, save_every = outputs.picture, outputs.save_every

    def stage(event: Event, line: Callable[[str], None]) -> None:
        """Save a picture of those that --save-every asks for."""
        due = save_every and event.step % save_every == 0 and event.step > 0
        if due and not (event.finished or event.trial):
            image = event.image()
            made = encode.Finished(arrays.to_picture(image, settings.space), Rounded(image, settings.space))
            try:
                encode.save(made, stage_path(output, event.step), outputs.options)
            except (OSError, ValueError) as error:
                # The run is worth more than one of its stages.
                line(f"cannot write {str(stage_path(output, event.step))!r}: {reason(error)}")

    with watched(make, settings, stage, waits=checkpoint is not None, quiet=quiet) as (result, problem, interrupt):
        # Here there is a picture; it is written whatever keys are pressed.
        result.manifest["output"] = {
            **({} if output == PIPE else {"path": str(output)}),
            "format": suffixes.format_of(outputs.kind),
            **outputs.options.as_dict(),
        }
        told = (json.dumps(result.manifest, indent=1) + "\n").encode()
        try:
            deliver(result.finished, outputs)
        except encode.KeptElsewhere as error:
            # What made it belongs to it.
            with contextlib.suppress(OSError):
                error.place.with_suffix(".json").write_bytes(told)
            raise
        write_beside(outputs.manifest, told, outputs)
        if outputs.history:
            write_beside(outputs.history, history_bytes(result.history, outputs.history.suffix), outputs)
        if outputs.plot:
            title = f"{settings.name} on {result.manifest['backend']['name']}"
            write_beside(outputs.plot, plot_bytes(result.history, outputs.plot.suffix, title), outputs)
        if checkpoint and problem is None:
            # Not earlier: a large picture takes seconds to write, in which the run can still be killed.
            with contextlib.suppress(OSError):
                checkpoint.unlink(missing_ok=True)
    done, size = result.manifest["steps_done"], result.manifest["size"]
    kept = f"the picture of step {done}"
    if size != result.manifest["inputs"]["content"]["resized_to"]:
        kept += ", at {}x{} of a coarse level,".format(*size)
    kept += " went to standard output" if output == PIPE else f" is kept in {str(output)!r}"
    if isinstance(problem, stylize.Stopped):
        raise IsostyleError(f"{problem}; {kept}") from problem
    if problem is not None:
        go_on = f"; `isostyle resume {readable(checkpoint)}` goes on" if checkpoint and checkpoint.exists() else ""
        click.echo(f"isostyle: interrupted; {kept}{go_on}", err=True)
        raise click.exceptions.Exit(EXIT_TERMINATED if interrupt.terminated else EXIT_INTERRUPTED)
    if not quiet:
        first, last = (result.manifest["losses"][which]["total"] for which in ("first", "last"))
        where = f"; manifest in {readable(outputs.manifest)}" if outputs.manifest else ""
        name = outputs.name if output == PIPE else readable(output)
        click.echo(
            f"wrote {name}: {done} steps in {result.manifest['seconds']:.1f} s, total loss {first:.4g} -> {last:.4g}{where}",
            err=output == PIPE,
        )
    return result


@contextlib.contextmanager
def watched(
    make: Callable[..., Result],
    settings: Recipe,
    stage: Callable[[Event, Callable[[str], None]], None] | None = None,
    *,
    waits: bool = False,
    quiet: bool,
) -> Iterator[tuple[Result, Stopped | Interrupted | None, Interrupt]]:
    """Let ``make`` run, and show how it goes: its result, what ended it early, and the interrupt, from here on ignored.

    ``stage`` is called with every event. If it ``waits``, the evaluation that is under way when Ctrl-C or SIGTERM comes is
    finished first.
    """
    from isostyle.registry import BackendMissing
    from isostyle.transfer import stylize

    problem: Stopped | Interrupted | None = None
    with interruptible(terminable=True, alike=True) as interrupt, progress(settings, quiet) as report:

        def callback(event: Event) -> None:
            if not event.finished:
                interrupt.heed()
            report.event(event)
            if stage:
                stage(event, report.line)

        if waits:
            interrupt.later()
        try:
            result = make(callback=callback, log=report.line)
        except (stylize.Stopped, stylize.Interrupted) as error:
            if error.result is None:
                interrupt.leave_if_terminated()
                raise
            problem, result = error, error.result
        except KeyboardInterrupt:
            interrupt.leave_if_terminated()
            raise
        except BackendMissing:
            # A second Ctrl-C while a framework is imported can come out as an ImportError of the framework.
            if interrupt.seen:
                interrupt.leave_if_terminated()
                raise KeyboardInterrupt from None
            raise
        interrupt.ignore()
        yield result, problem, interrupt


class Report:
    """Lines on stderr, which is also how progress looks when stderr is no terminal: what the recipe's source prints."""

    def __init__(self, recipe: Recipe, teller: Teller) -> None:
        self.recipe, self.line = recipe, teller.line
        #: When the first event came, and what share of the work lay behind it: of a run that was resumed, an earlier session's.
        self.began: tuple[float, float] | None = None
        #: The last one that was no trial of a line search, whose losses are nobody's.
        self.last: Event | None = None

    def event(self, event: Event) -> None:
        """What a callback is to call for every event, whether it is due or not."""
        if not event.trial:
            self.last = event
        self.show(event)

    def show(self, event: Event) -> None:
        now = time.monotonic()
        self.began = self.began or (now, event.done)
        total, done = event.planned, event.done
        if event.finished:
            self.line(f"result  {self.losses(event)}")
        elif self.recipe.report.due(event.evaluation):
            since, before = self.began
            left = (now - since) / (done - before) * (1 - done) if done > before else 0
            eta = f"  eta {left:.0f} s" if left > 0 else ""
            self.line(f"evaluation {event.evaluation:>{len(str(total))}}/{total}  {self.losses(event)}{eta}")

    def losses(self, event: Event, digits: int = 6) -> str:
        """Of the picture of ``event``; of the last one before it that was none, if it is a trial."""
        event = self.last or event
        shown = ((name, event.losses[name] * factor) for name, factor in self.recipe.report.values)
        return "  ".join(f"{name} {value:.{digits}g}" for name, value in shown)


class Bar(Report):
    """A progress bar on a terminal, with the time left and the losses."""

    def __init__(self, recipe: Recipe, teller: Teller, live: Progress) -> None:
        super().__init__(recipe, teller)
        self.live = live
        self.task = live.add_task("", total=recipe.updates, losses="")

    def show(self, event: Event) -> None:
        completed = round(event.done * event.planned)
        self.live.update(self.task, total=event.planned, completed=completed, losses=self.losses(event, digits=3))


@contextlib.contextmanager
def progress(recipe: Recipe, quiet: bool) -> Iterator[Report]:
    """The reporter that fits."""
    # Narrow enough, with the losses, for a terminal of 80 columns.
    with teller(quiet, "losses", width=12) as told:
        yield Report(recipe, told) if told.live is None else Bar(recipe, told, told.live)
