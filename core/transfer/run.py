"""A run in progress: it takes the events of the descent, keeps the history, writes checkpoints, and makes the result."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator

from isostyle import recipe_text
from isostyle.errors import FrameworkFailure, IsostyleError
from isostyle.images import arrays, transparency
from isostyle.images.colors import shown_in
from isostyle.interface import Array
from isostyle.recipe import Recipe
from isostyle.registry import Framework, failure
from isostyle.system import allocation
from isostyle.system.files import reason, write_atomically
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer.checkpoint import RunCheckpoint
from isostyle.transfer.descent import Diverged, Event, Position, climb
from isostyle.transfer.history import History
from isostyle.transfer.inputs import Pictures
from isostyle.transfer.manifest import manifest_of
from isostyle.transfer.request import CHECKPOINT_EVERY, KEPT, Request, Saving
from isostyle.transfer.result import Interrupted, Result, Stopped
from isostyle.transfer.setup import Setup, set_up
from isostyle.transfer.verdict import Worthless, judge

#: How often a run that diverged is tried again, and the evaluations between states that it can go back to.
RETRIES, RETRY_EVERY = 5, 10


def carry_out(
    request: Request,
    *,
    before: RunCheckpoint | None = None,
    saving: Saving | None = None,
    callback: Callable[[Event], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Result:
    """Compute what was asked for, from the beginning or from where the run stood ``before``. If it diverges and that was asked
    for, go back to its last good state, at half the learning rate.

    Raises:
        InputError: something that was asked for cannot be.
        Stopped, Interrupted: as :func:`isostyle.stylize`.
    """
    callback, log = callback or ignore, log or ignore
    diverged: list[str] = list(before.settings["diverged"]) if before else []
    for left in range(RETRIES, -1, -1):
        setup = set_up(request, before, log)
        try:
            return Run(setup, before, diverged, saving).finish(callback, log)
        except Stopped as error:
            if request.on_divergence == "stop" or left == 0 or not isinstance(error.__cause__, Diverged):
                raise
            before = error.good or before
            diverged.append(str(error))
            recipe = slower(before.recipe if before else request.recipe)
            request = dataclasses.replace(request, recipe=recipe)
            if before:
                before = dataclasses.replace(before, recipe=recipe)
            at = f"evaluation {before.history[-1]['evaluation']}" if before else "the beginning"
            rate = recipe.optimizer.learning_rate
            log(f"{str(error).partition(';')[0]}; once more from {at}, at the learning rate {rate:g}")
    raise AssertionError("the last attempt returns or raises")


def ignore(_: object) -> None:
    """In place of a callback or a log."""


def slower(recipe: Recipe) -> Recipe:
    """``recipe`` at half its learning rate."""
    optimizer = dataclasses.replace(recipe.optimizer, learning_rate=recipe.optimizer.learning_rate / 2)
    return recipe_text.named(dataclasses.replace(recipe, optimizer=optimizer), recipe)


class Run:
    """A run in progress, from the beginning or from where it stood ``before``; ``diverged``: why earlier attempts ended."""

    def __init__(self, setup: Setup, before: RunCheckpoint | None, diverged: list[str], saving: Saving | None) -> None:
        self.setup, self.saving = setup, saving
        self.position = before.position if before else None
        self.history = History(setup.request.recipe, before.history if before else [])
        computer = {**setup.computer, "threads": setup.request.threads}
        computers = before.backends if before else []
        self.diverged = list(diverged)
        #: What computed, one after another.
        self.computers = computers if computer in computers[-1:] else [*computers, computer]
        self.began = time.monotonic() - (before.seconds if before else 0)
        #: A state to go back to, if the run diverges.
        self.good: RunCheckpoint | None = None
        #: Evaluations at the last checkpoint and at ``good``.
        self.saved = self.kept = int(self.history.rows[-1]["evaluation"]) if before else 0

    def finish(self, callback: Callable[[Event], None], log: Callable[[str], None]) -> Result:
        """Run to the end, and tell ``callback`` and ``log`` of it.

        Raises:
            Stopped, Interrupted: as :func:`isostyle.stylize`.
        """
        problem: IsostyleError | KeyboardInterrupt | None = None
        try:
            for event in self.events():
                self.history.add(event)
                if event.note:
                    log(event.note)
                problem = interrupted(callback, event)
                self.keep(event, log, now=problem is not None)
                if problem is not None:
                    break
        except (Diverged, FrameworkFailure, KeyboardInterrupt) as error:
            problem = problem or error
        result = self.result(problem)
        if result is not None and problem is None and (problem := self.judged(result, log)):
            result = self.result(problem)
        if isinstance(problem, KeyboardInterrupt):
            raise Interrupted(result) from problem
        if problem is not None:
            raise Stopped(problem, result, self.good) from problem
        assert result is not None  # a recipe has at least one step
        return result

    def judged(self, result: Result, log: Callable[[str], None]) -> Worthless | None:
        """What is wrong with a finished run. From there its best picture is the last, and no state is good to go back to."""
        try:
            if line := judge(self.history, result.picture, self.setup.pictures.roughness):
                log(line)
        except Worthless as error:
            self.history.last, self.good = self.history.best, None
            return error
        return None

    def events(self) -> Iterator[Event]:
        """The events of the descent. What the framework raises becomes a FrameworkFailure."""
        setup, levels = self.setup, self.setup.levels
        given = [(level.recipe, level.canvas, level.content_and_styles) for level in levels]
        margins = {level.canvas: level.resizings["content"].margin for level in levels}
        in_tiles = setup.choice.tile is not None
        try:
            with allocation.large_blocks(kept=False) if in_tiles else contextlib.nullcontext():
                framework = setup.framework
                engine = framework.inside(setup.engine)()
                for event in framework.each_inside(climb(engine, given, setup.start, self.position)):
                    shown = computed_inside(event, framework)
                    yield as_shown(shown, margins[event.size], setup.pictures)
        except IsostyleError:
            raise
        except Exception as error:
            begun = [level for level in levels if level.begun] or levels[:1]
            raise failure(setup.framework.backend.name, "size {}x{}".format(*begun[-1].size), error) from error

    def keep(self, event: Event, log: Callable[[str], None], *, now: bool) -> None:
        """Write a checkpoint, ``now`` or if one is due; remember a state to go back to, if one is due."""
        if event.position is None:
            return
        count, saving = event.evaluation, self.saving
        if saving and (now or count // saving.every > self.saved // saving.every):
            self.saved = count
            try:
                write_atomically(saving.path, run_checkpoint.dump(self.checkpoint(event.position(), saving)))
            except OSError as error:
                # A disk that is full now may not be so at the next one; the run is worth more.
                log(f"the checkpoint {str(saving.path)!r} cannot be written: {reason(error)}")
        if self.setup.request.on_divergence == "retry" and not event.trial and count // RETRY_EVERY > self.kept // RETRY_EVERY:
            self.kept, self.good = count, self.checkpoint(event.position(), saving)

    def checkpoint(self, position: Position, saving: Saving | None) -> RunCheckpoint:
        """The run as it stands at ``position``."""
        request = self.setup.request
        settings = {
            **{name: getattr(request, name) for name in KEPT},
            "network_sha256": self.setup.weights.digest,
            "tile": self.setup.choice.tile,
            "diverged": self.diverged,
            "checkpoint_every": saving.every if saving else CHECKPOINT_EVERY,
            "kept": dict(saving.keep) if saving else {},
        }
        # Absolute, for the run may go on from another folder.
        inputs = {
            role: {**about, "path": os.path.abspath(about["path"])} if "path" in about else about
            for role, about in self.setup.pictures.described.items()
        }
        rows, seconds = list(self.history.rows), time.monotonic() - self.began
        return RunCheckpoint(request.recipe, position, settings, inputs, rows, self.computers, seconds)

    def result(self, problem: BaseException | None) -> Result | None:
        """The last picture; None if there is none yet."""
        seconds = time.monotonic() - self.began
        if self.history.last is None:
            return None
        pictures, space = self.setup.pictures, self.setup.request.recipe.space
        image = self.history.last[0].image()
        picture, _ = shown_in(image, space, gray=pictures.gray, photograph=pictures.photograph)
        manifest = manifest_of(self.setup, self.history, image, picture, seconds, problem)
        if len(self.computers) > 1:
            manifest["backends"] = self.computers
        if self.diverged:
            manifest["diverged"] = self.diverged
        # A run may end at a coarse level of its pyramid.
        alpha = transparency.at_size(pictures.alpha, picture.height, picture.width)
        how = (space, alpha, pictures.exif, pictures.gray, pictures.photograph)
        return Result(picture, image, self.history.rows, manifest, *how)


def computed_inside(event: Event, framework: Framework) -> Event:
    """``event``, whose image and position may be asked for in any state of the framework."""
    position = None if event.position is None else framework.inside(event.position)
    return dataclasses.replace(event, image=framework.inside(event.image), position=position)


def as_shown(event: Event, margin: int, inputs: Pictures) -> Event:
    """``event``, of the picture that was asked for: without its margin, gray if its ``inputs`` are, in the photograph's colors
    if they are kept, and under its alpha."""

    def image() -> Array:
        return arrays.inner(event.image(), margin) if margin else event.image()

    height, width = event.size
    size, seen = (height - 2 * margin, width - 2 * margin), dataclasses.replace(event, image=image, gray=inputs.gray)
    return dataclasses.replace(seen, size=size, alpha=inputs.alpha, photograph=inputs.photograph)


def interrupted(callback: Callable[[Event], None], event: Event) -> KeyboardInterrupt | None:
    """Call ``callback``; return the Ctrl-C that it raises, if it does."""
    try:
        callback(event)
    except KeyboardInterrupt as error:
        return error
    return None
