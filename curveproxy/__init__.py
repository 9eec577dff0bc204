"""A sidecar that terminates CurveZMQ in front of ZeroMQ services that speak plain ZMTP.

Four rooms, arrows one way: ``app -> proxy -> {wire, policy}`` (see ``tests/test_layers.py``).
``reasons`` is the vocabulary that all of them share.
"""

from importlib.metadata import version

__version__ = version("curveproxy")
