"""For authors of methods: the contract that every method must keep, as checks to run on one's own.

A test file of three lines runs all of it::

    from fasray.testing import MethodContract
    from my_package import MyMethod

    class TestMyMethod(MethodContract):
        method = MyMethod

The method need not be registered. Each check is a plain method without arguments and can also be called by hand; a
check that fails raises ``AssertionError`` with what is wrong. Importing this needs no pytest, which only collects the
checks.
"""

from fasray.testing.contract import MethodContract
from fasray.testing.draws import built, context, draws_of, run, toy_draw, weights
from fasray.testing.host_syncs import host_syncs

__all__ = ["MethodContract", "built", "context", "draws_of", "run", "toy_draw", "host_syncs", "weights"]
