"""Taking one guard out of the running program, by changing the text of the function that holds it.

A mutation is a patch by its nature; what the other tests say of themselves, "no patched functions",
holds for them.
"""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def mutated(function: Any, old: str, new: str) -> Iterator[None]:
    """`function` with `old` replaced by `new` in its own source, wherever it is referred to.

    AssertionError where `old` does not stand in it: then the guard has moved, and so must we.
    """
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) >= 1, f"{function.__qualname__} has no {old!r}"
    space: dict[str, Any] = dict(function.__globals__)
    exec(compile(source.replace(old, new), "mutant", "exec"), space)  # noqa: S102
    made = space[function.__name__]
    healthy = function.__code__
    changed: Any = made.fget if isinstance(made, property) else made
    function.__code__ = changed.__code__
    try:
        yield
    finally:
        function.__code__ = healthy


@contextmanager
def reworded(module: Any, name: str, old: str, new: str) -> Iterator[None]:
    """The same for a constant, such as the text of a query."""
    healthy = getattr(module, name)
    assert old in healthy, f"{name} has no {old!r}"
    changed = (
        healthy.replace(old, new)
        if isinstance(healthy, str)
        else tuple(new if one == old else one for one in healthy)
    )
    setattr(module, name, changed)
    try:
        yield
    finally:
        setattr(module, name, healthy)
