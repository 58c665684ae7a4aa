"""A run in progress: it takes the events of the descent, keeps the history, writes checkpoints, and makes the result."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator

from isostyle import recipe_text
from isostyle.errors import FrameworkFailure, IsostyleError
from isostyle.images import arrays
from isostyle.recipe import Recipe
from isostyle.registry import failure
from isostyle.system import allocation
from isostyle.system.files import reason, remove_left_behind, write_atomically
from isostyle.transfer import checkpoint as run_checkpoint
from isostyle.transfer.checkpoint import RunCheckpoint
from isostyle.transfer.descent import Diverged, Event, climb
from isostyle.transfer.history import History
from isostyle.transfer.manifest import manifest_of
from isostyle.transfer.request import CHECKPOINT_EVERY, Request, Saving
from isostyle.transfer.result import Interrupted, Result, Stopped
from isostyle.transfer.setup import Setup, set_up

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
    if saving:
        remove_left_behind([saving.path])
    diverged: list[str] = list(before.settings["diverged"]) if before else []
    for left in range(RETRIES, -1, -1):
        setup = set_up(request, before, log)
        try:
            return Run(setup, before, diverged, saving, callback, log).finish()
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
    """A run in progress."""

    def __init__(
        self,
        setup: Setup,
        before: RunCheckpoint | None,
        diverged: list[str],
        saving: Saving | None,
        callback: Callable[[Event], None],
        log: Callable[[str], None],
    ) -> None:
        self.setup, self.saving, self.callback, self.log = setup, saving, callback, log
        self.position = before.position if before else None
        self.history = History(setup.recipe, {**setup.computer, "threads": setup.threads}, before, diverged)
        #: A state to go back to, if the run diverges.
        self.good: RunCheckpoint | None = None
        #: Evaluations at the last checkpoint and at ``good``.
        self.saved = self.kept = int(self.history.rows[-1]["evaluation"]) if before else 0

    def finish(self) -> Result:
        """Run to the end.

        Raises:
            Stopped, Interrupted: as :func:`isostyle.stylize`.
        """
        problem: IsostyleError | KeyboardInterrupt | None = None
        try:
            for event in self.events():
                self.history.add(event)
                if event.note:
                    self.log(event.note)
                if problem is None:
                    problem = self.called_back(event)
                # A line search goes on to the next update, for only there a run can be gone on from.
                if problem and (self.saving is None or event.position or event.finished):
                    self.save(event)
                    break
                self.keep(event)
        except (Diverged, FrameworkFailure, KeyboardInterrupt) as error:
            problem = problem or error
        result = self.result(problem)
        if isinstance(problem, KeyboardInterrupt):
            raise Interrupted(result) from problem
        if problem is not None:
            raise Stopped(problem, result, self.good) from problem
        assert result is not None  # a recipe has at least one step
        return result

    def events(self) -> Iterator[Event]:
        """The events of the descent. What the framework raises becomes a FrameworkFailure."""
        setup, levels = self.setup, self.setup.levels
        given = [(level.recipe, level.size, level.content_and_style) for level in levels]
        in_tiles = setup.choice.tile is not None
        try:
            with allocation.large_blocks(kept=False) if in_tiles else contextlib.nullcontext():
                yield from climb(setup.engine(), given, setup.start, self.position)
        except IsostyleError:
            raise
        except Exception as error:
            begun = [level for level in levels if level.begun] or levels[:1]
            raise failure(setup.framework.name, "size {}x{}".format(*begun[-1].size), error) from error

    def called_back(self, event: Event) -> KeyboardInterrupt | None:
        """Call the callback; Ctrl-C, if that is what it raises."""
        try:
            self.callback(event)
        except KeyboardInterrupt as error:
            return error
        return None

    def keep(self, event: Event) -> None:
        """Write a checkpoint, and remember a state to go back to, if they are due: at the first event from which a run can go
        on, after so many evaluations."""
        if event.position is None:
            return
        if self.saving and event.evaluation // self.saving.every > self.saved // self.saving.every:
            self.save(event)
        is_due = event.evaluation // RETRY_EVERY > self.kept // RETRY_EVERY
        if self.setup.request.on_divergence == "retry" and is_due and not event.trial:
            self.good, self.kept = self.checkpoint(event), event.evaluation

    def save(self, event: Event) -> None:
        """Write a checkpoint, if that was asked for and the run can go on from there."""
        if self.saving is None or event.position is None:
            return
        self.saved = event.evaluation
        try:
            write_atomically(self.saving.path, run_checkpoint.dump(self.checkpoint(event)))
        except OSError as error:
            # A disk that is full now may not be so at the next one; the run is worth more.
            self.log(f"the checkpoint {str(self.saving.path)!r} cannot be written: {reason(error)}")

    def checkpoint(self, event: Event) -> RunCheckpoint:
        """Where the run stands after ``event``, which must be the present one."""
        assert event.position is not None
        setup, request, history = self.setup, self.setup.request, self.history
        settings = {
            "seed": request.seed,
            "network": request.network,
            "network_sha256": setup.weights.digest,
            "dtype": request.dtype,
            "precision": request.precision,
            "backend": setup.framework.name,
            "device": setup.device,
            "threads": setup.threads,
            "tile": setup.choice.tile,
            "on_divergence": request.on_divergence,
            "diverged": history.diverged,
            "checkpoint_every": self.saving.every if self.saving else CHECKPOINT_EVERY,
            "kept": dict(self.saving.keep) if self.saving else {},
        }
        # Absolute, for the run may go on from another folder.
        inputs = {
            role: {**about, "path": os.path.abspath(about["path"])} if "path" in about else about
            for role, about in setup.pictures.described.items()
        }
        rows, computers = list(history.rows), history.computers
        return RunCheckpoint(setup.recipe, event.position(), settings, inputs, rows, computers, history.seconds)

    def result(self, problem: BaseException | None) -> Result | None:
        """The last picture; None if there is none yet."""
        if self.history.last is None:
            return None
        recipe, pictures = self.setup.recipe, self.setup.pictures
        image = self.history.last[0].image()
        picture = arrays.to_picture(image, recipe.space)
        manifest = manifest_of(self.setup, self.history, image, picture, problem)
        alpha = pictures.alpha_of(picture.height, picture.width)
        return Result(picture, image, self.history.rows, manifest, recipe.space, alpha, pictures.exif)
