"""The rules of docs/contributing.md that a test can hold, one file a group.

One by itself: ``.venv/bin/pytest -n 0 tests/fences/test_circles.py``.
"""
