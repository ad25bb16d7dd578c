# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""One page for all tests of the canvas in the browser."""

from collections.abc import Iterator

import numpy as np
import pytest
from canvas_page import Page, build_app
from page_browser import assert_no_errors, open_page
from selenium import webdriver


@pytest.fixture(scope="module")
def events() -> dict[str, list[np.ndarray]]:
    """The maps that Python got, by canvas, since the page was loaded."""
    return {"few": [], "many": [], "hidden": []}


@pytest.fixture(scope="module")
def url(events) -> Iterator[str]:
    demo = build_app(lambda name, label_map: events[name].append(label_map))
    _, address, _ = demo.launch(prevent_thread_lock=True, _frontend=False, quiet=True, show_error=True)
    yield address
    demo.close()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str, events: dict[str, list[np.ndarray]]) -> Iterator[Page]:
    open_page(driver, url)
    page = Page(driver, events)
    page.wait(lambda: page.data("few", "undo") == "0" and page.data("many", "undo") == "0")
    for maps in events.values():
        maps.clear()
    yield page
    assert_no_errors(driver)
