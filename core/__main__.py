"""``python -m isostyle``."""

from isostyle.cli.main import main

main()
