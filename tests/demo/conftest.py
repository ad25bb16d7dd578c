# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The browser that all tests of the page share."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser puts what it downloads."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator:
    """One headless Chromium for all browser tests."""
    from page_browser import start_browser

    browser = start_browser(tmp_path_factory.mktemp("profile"), downloads)
    yield browser
    browser.quit()
