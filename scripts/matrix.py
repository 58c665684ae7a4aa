"""What `isostyle conform` prints, for docs/conformance.md.

python scripts/matrix.py [--write docs/conformance.md]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
from tables import publish


@click.command()
@click.option("--write", type=click.Path(exists=True, path_type=Path), help="Put the output between the marks in this file.")
def main(write: Path | None) -> None:
    """Run `isostyle conform` with every backend that is installed."""
    answer = subprocess.run([sys.executable, "-m", "isostyle", "conform"], stdout=subprocess.PIPE, text=True, check=False)
    # Long reasons stand in the files of deviations.
    lines = [line if len(line) <= 150 else line[:150].rsplit(" ", 1)[0] + " ..." for line in answer.stdout.splitlines()]
    publish("```text\n" + "\n".join(lines) + "\n```", "matrix", write)
    sys.exit(answer.returncode)


if __name__ == "__main__":
    main()
