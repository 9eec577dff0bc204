"""Benchmarks: the real proxy and a real libzmq proxy, by turns, in one run."""
