# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A call that must be refused in one line."""

import time
from collections.abc import Callable
from typing import Any

import pytest


def refused(call: Callable[[], Any], *words: str, kinds: tuple = (ValueError,), seconds: float = 1.0) -> str:
    """The error of a call: one line with these words, at once."""
    started = time.process_time()
    with pytest.raises(kinds) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500, message
    assert all(word in message for word in words), message
    assert time.process_time() - started < seconds
    return message
