"""A full memory barrier.

"Publish, then look whether the reader sleeps" against "say that I sleep, then look at the head" is a store-load race
that x86 loses too: measured with plain words, both sides saw the old value hundreds of times in 1.5 million tries,
never with a lock taken and given back in between (its atomic operations are full barriers).
"""

from __future__ import annotations

import threading

_lock = threading.Lock()


def fence() -> None:
    """No load after this call is done before a store that precedes it."""
    _lock.acquire()
    _lock.release()
