"""The one place that waits for something without being told of it."""

import time

PATIENCE = 20


def until(what, condition, patience=PATIENCE):
    """Looks until `condition()` is true and returns what it said; fails after `patience` s."""
    end = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"not within {patience} s: {what}")
        time.sleep(0.02)
