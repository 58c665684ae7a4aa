"""``python -m isostyle``."""

from isostyle.cli import main

main()
