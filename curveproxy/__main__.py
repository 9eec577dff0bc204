"""``python -m curveproxy`` is the command ``curveproxy``."""

from curveproxy.app.cli import main

main()
