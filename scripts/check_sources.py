"""Check what no linter checks: lengths, raw control bytes, and words that this project has replaced.

    python scripts/check_sources.py            # prints what is wrong; exit code 1 if anything is
    python scripts/check_sources.py --table    # prints the lines of code of each room, too

A line of code is one that is neither blank nor a comment; docstrings count.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ("core", "backends", "conformance")
#: Lines of a function with its docstring, and of a module.
LONGEST_FUNCTION, LONGEST_MODULE = 80, 500
#: What may be longer, and why.
EXCEPTIONS: dict[str, str] = {
    "core/transfer/stylize.py:stylize": "the public call: its 34 arguments, and what each means, take 94 of its lines",
}
#: Words that have one spelling here, as patterns, each with what to write instead.
WORDS = {
    r"optimis": "optimiz-",
    r"normalis": "normaliz-",
    r"colour": "color",
    r"\bgrey": "gray",
    r"\bcentre": "center",
    r"neighbour": "neighbor",
    r"licence": "license",
    r"behaviour": "behavior",
    r"stylis": "styliz-",
    r"minimis": "minimiz-",
    r"recognis": "recogniz-",
    r"standard deviation": "std",
    r"\bslopes?\b": "gradient, cotangent or derivative",
    r"\brecorded_at\b|\.recorded\(|\bPull\b": "vjp",
    r"\bteeth\b": "mutation test",
    r"\bplant(s|ed|ing)?\b": "mutant",
    r"\bdefects?\b": "mutant",
}
#: Where a word means something else, and what.
WORDS_ELSEWHERE: dict[str, str] = {}
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
TEXTS = (".py", ".md", ".toml", ".ini", ".html", ".json", ".txt", ".yaml")


def tracked() -> list[Path]:
    """Every text file that git knows, but for this one."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [ROOT / name for name in names if name.endswith(TEXTS)]
    return [path for path in found if path.exists() and path != Path(__file__).resolve()]


def code_lines(source: str) -> int:
    """Lines that are neither blank nor a comment."""
    ignored = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in ignored:
            numbers.update(range(token.start[0], token.end[0] + 1))
    lines = source.splitlines()
    return sum(1 for number in numbers if lines[number - 1].strip())


def too_long(path: Path) -> Iterator[str]:
    """What is longer than it may be in a module of the package."""
    name, source = str(path.relative_to(ROOT)), path.read_text()
    if (length := len(source.splitlines())) > LONGEST_MODULE and name not in EXCEPTIONS:
        yield f"{name} has {length} lines, more than {LONGEST_MODULE}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > LONGEST_FUNCTION and f"{name}:{node.name}" not in EXCEPTIONS:
                yield f"{name}:{node.lineno} {node.name} has {length} lines, more than {LONGEST_FUNCTION}"


def misspelled(path: Path) -> Iterator[str]:
    """Words in a text that have another spelling here."""
    name = str(path.relative_to(ROOT))
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for pattern, instead in WORDS.items():
            if (found := re.search(pattern, line, re.IGNORECASE)) and f"{name}:{found[0].lower()}" not in WORDS_ELSEWHERE:
                yield f"{name}:{number} has {found[0]!r}: write {instead}"


def control_bytes(path: Path) -> Iterator[str]:
    """Raw bytes that a terminal would obey and no editor shows."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if CONTROL.search(line):
            yield f"{path.relative_to(ROOT)}:{number} has a raw control byte"


def table(modules: list[Path]) -> str:
    """Lines of code by room."""
    rooms: Counter[str] = Counter()
    for path in modules:
        folder = path.relative_to(ROOT).parent
        rooms[str(folder)] += code_lines(path.read_text())
        rooms[f"{folder.parts[0]}, all of it"] += code_lines(path.read_text())
    return "\n".join(f"{count:6} {room}" for room, count in sorted(rooms.items(), key=lambda item: item[0]))


def main() -> None:
    texts = tracked()
    modules = [path for path in texts if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGE]
    if "--table" in sys.argv[1:]:
        print(table(modules))
    prose = [path for path in texts if path.relative_to(ROOT).parts[0] != "requirements"]
    wrong = [line for path in modules for line in too_long(path)]
    wrong += [line for path in texts for line in control_bytes(path)]
    wrong += [line for path in prose for line in misspelled(path)]
    print("\n".join(wrong) or "sources: lengths, bytes and words are as they should be")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
