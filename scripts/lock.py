"""The versions that tox installs: one file in requirements/ for each set of pyproject.toml's extras.

    pip install uv
    python scripts/lock.py [--upgrade]

Each file has every package of a set, those that others need included, in the one version that tests run with; pip takes it as
constraints. What stands there already stays if it still fits pyproject.toml and requirements/held.txt; --upgrade takes the
newest of everything else. No index and no digest is written: the same files serve wherever pip finds its packages, and a build
of torch for the CPU alone is as good as the other.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
#: The extras of each file.
LOCKS = {
    "core": ("test",),
    "torch": ("torch", "test"),
    "mxnet": ("mxnet", "test"),
    "paddle": ("paddle", "test"),
    "all": ("torch", "zoo", "mxnet", "paddle", "test"),
    "dev": ("dev",),
}
#: What the frameworks have in common; wheels of Linux with this glibc are the oldest that all of them have.
PYTHON, PLATFORM = "3.11", "x86_64-manylinux_2_28"
#: Packages that only torch's CUDA build needs; it names their versions itself, and its CPU build takes none.
OF_CUDA = ("nvidia-", "cuda-", "triton")
HEADER = (
    "# Made by scripts/lock.py from pyproject.toml's extras: {}. Constraints for pip: what is not asked for is not installed.\n"
)


@click.command()
@click.option("--upgrade", is_flag=True, help="Take the newest releases, but for requirements/held.txt.")
def main(upgrade: bool) -> None:
    """Make requirements/*.txt anew."""
    for name, extras in LOCKS.items():
        file = ROOT / "requirements" / f"{name}.txt"
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *(f"--extra={extra}" for extra in extras)]
        command += ["--constraint=requirements/held.txt", f"--output-file=requirements/{file.name}", "--annotation-style=line"]
        command += [f"--python-version={PYTHON}", f"--python-platform={PLATFORM}"]
        command += [
            "--no-header",
            "--no-emit-index-url",
            "--no-emit-find-links",
            "--quiet",
            *(["--upgrade"] if upgrade else []),
        ]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise click.ClickException(f"requirements/{file.name} was not made; `pip install uv` if there is none")
        lines = [line for line in file.read_text().splitlines() if not line.startswith(OF_CUDA)]
        file.write_text(HEADER.format(", ".join(extras)) + "".join(f"{line}\n" for line in lines))
        click.echo(f"requirements/{file.name}: {len(lines)} packages")


if __name__ == "__main__":
    main()
