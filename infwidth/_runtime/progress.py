"""Progress of long loops."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Sequence[Item], description: str, enabled: bool) -> Iterator[Item]:
    """Yield the items; where enabled, show how far they are: with tqdm where it is installed, else as lines."""
    if not enabled:
        return iter(items)
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415  # an extra
    except ImportError:
        return _lines(items, description)
    return iter(tqdm(items, desc=description))


def _lines(items: Sequence[Item], description: str) -> Iterator[Item]:
    start = time.perf_counter()
    for done, item in enumerate(items, 1):
        yield item
        print(f"{description}: {done}/{len(items)}, {time.perf_counter() - start:.1f} s", file=sys.stderr)
