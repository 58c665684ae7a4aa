"""Runs that are killed with SIGKILL at random moments, and resumed: do they end with the same bits?

    python scripts/kill_and_resume.py [--kills 50] [--backends torch,mxnet,paddle] [--seed N] [--write docs/reproducing.md]

For each backend and each kind of run (Adam, L-BFGS, coarse to fine), one run is left alone. Then runs are begun with
`isostyle run --checkpoint`, killed at a moment that a seed chooses between the first checkpoint and the end, and resumed with
`isostyle resume`; a third of them is killed a second time while it is resumed. Pictures, histories and losses are compared with
those of the run that was left alone. What was finished before it could be killed does not count, and is tried again.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np
from PIL import Image
from tables import markdown, publish

#: By name: options of `isostyle run`. Some seconds each.
KINDS = {
    "adam": ["--steps", "60"],
    "L-BFGS": ["--steps", "60", "--optimizer", "lbfgs"],
    "a pyramid": ["--pyramid", "0.5:20,0.75:20", "--steps", "20"],
}
SIZE = "96"
#: Of those that are resumed, the share that is killed again.
TWICE = 1 / 3
#: A run that cannot be killed so many times in a row is too short.
TRIES = 20


class Contest:
    """One kind of run on one backend, in a folder of its own."""

    def __init__(self, folder: Path, backend: str, kind: str, threads: int, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        options = ["--backend", backend, "--size", SIZE, "--threads", str(threads), *KINDS[kind], "--checkpoint-every", "1"]
        self.begin = ["run", "photo.png", "painting.png", "-o", "out.png", "--history", "out.csv", *options]
        self.begin += ["--checkpoint", "run.ckpt", "--quiet"]
        for name, phase in (("photo", 0.0), ("painting", 1.5)):
            y, x = np.mgrid[0:90, 0:120]
            waves = np.stack([np.sin(x / 9 + phase), np.cos(y / (5 + phase)), np.sin(x * y / 400 + phase)], -1)
            Image.fromarray((127 + 120 * waves).astype(np.uint8)).save(folder / f"{name}.png")
        began = time.monotonic()
        process = self.start(self.begin)
        self.first = self.until_checkpoint(process) - began
        if process.wait() != 0:
            raise click.ClickException(f"{kind} on {backend} fails without being killed")
        self.whole = time.monotonic() - began
        self.expected = self.result()

    def start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "isostyle", *arguments], cwd=self.folder)

    def until_checkpoint(self, process: subprocess.Popen[bytes]) -> float:
        """The moment at which the first checkpoint is there, or the process has ended."""
        while not (self.folder / "run.ckpt").exists() and process.poll() is None:
            time.sleep(0.005)
        return time.monotonic()

    def result(self) -> tuple[bytes, bytes, object]:
        """Picture, history and losses."""
        told = json.loads((self.folder / "out.json").read_bytes())
        return (self.folder / "out.png").read_bytes(), (self.folder / "out.csv").read_bytes(), (told["losses"], told["result"])

    def kill(self, arguments: list[str]) -> bool:
        """Kill a process at a random moment after a checkpoint is there; whether it had not ended by itself."""
        process = self.start(arguments)
        self.until_checkpoint(process)
        time.sleep(self.chance.uniform(0, self.whole - self.first))
        process.kill()
        return process.wait() != 0

    def round(self) -> str:
        """Kill a run, resume it, and say what became of it."""
        for _ in range(TRIES):
            for path in self.folder.glob("*"):
                if path.name.startswith(("out.", "run.", ".isostyle")):
                    path.unlink()
            if self.kill(self.begin):
                break
        else:
            raise click.ClickException("the runs are too short to be killed")
        if self.chance.random() < TWICE:
            self.kill(["resume", "run.ckpt", "--quiet"])
        # One whose picture was there already, if not all that goes with it, would not be overwritten.
        more = ["--force"] if (self.folder / "out.png").exists() else []
        if (self.folder / "run.ckpt").exists() and self.start(["resume", "run.ckpt", "--quiet", *more]).wait() != 0:
            return "resume failed"
        return "bit-identical" if self.result() == self.expected else "different"


@click.command()
@click.option("--kills", default=50, show_default=True, help="On each backend.")
@click.option("--backends", default="torch,mxnet,paddle", show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", type=int, help="[default: of the clock; it is printed]")
@click.option("--write", type=click.Path(path_type=Path), metavar="PATH", help="Put the table between the marks in this file.")
def main(kills: int, backends: str, threads: int, seed: int | None, write: Path | None) -> None:
    """Kill runs at random moments, resume them, and print a table of what came out."""
    seed = time.time_ns() % 10**9 if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    chance = random.Random(seed)
    rows, fine = [], True
    for backend in backends.split(","):
        found: Counter[str] = Counter()
        for number, kind in enumerate(KINDS):
            folder = Path(tempfile.mkdtemp(prefix="isostyle-kills-"))
            try:
                contest = Contest(folder, backend, kind, threads, chance)
                for _ in range(kills // len(KINDS) + (number < kills % len(KINDS))):
                    found[contest.round()] += 1
                    click.echo(f"{backend}, {kind}: {dict(found)}", err=True)
            finally:
                shutil.rmtree(folder)
        fine &= set(found) == {"bit-identical"}
        rows.append(
            [backend, str(sum(found.values())), *(str(found[what]) for what in ("bit-identical", "different", "resume failed"))]
        )
    publish(markdown(["backend", "killed", "bit-identical", "different", "resume failed"], rows), "kills", write)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
