"""The rules of docs/contributing.md that a test can hold, one file a group. They read the code and run none of it.

One by itself: ``.venv/bin/pytest -n 0 tests/fences/test_circles.py``.
"""
