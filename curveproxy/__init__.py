"""A sidecar that terminates CurveZMQ in front of ZeroMQ services that speak plain ZMTP.

Imports go one way: ``app -> proxy -> {wire, policy}`` (see ``tests/fences/test_layers.py``). ``reasons`` is the
vocabulary that ``app``, ``proxy`` and ``policy`` share.
"""

from importlib.metadata import version

__version__ = version("curveproxy")
