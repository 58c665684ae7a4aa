"""Hostile files of every kind, from a fresh seed each time: scripts/fuzz.py prints it, so that a failure can be had again."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "scripts" / "fuzz.py"


@pytest.mark.slow
def test_hostile_files_give_a_right_result_or_one_sentence(any_backend):
    command = [sys.executable, str(FUZZ), "--inputs", "90", "--backend", any_backend]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| all |" in done.stdout
