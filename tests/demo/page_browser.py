# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""A headless Chromium for the browser tests: start it, find things, wait for things, look at pixels.

Needs Debian's packages chromium and chromium-driver. Without them the tests are skipped, under CI they fail.
"""

import base64
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait


FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--window-size=1280,1400",
)
PATIENCE = 60  # seconds; the machine may be busy


def find_program(name: str) -> str:
    """Path of a program; without it the test is skipped, or fails under CI."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def start_browser(profile: Path, downloads: Path) -> webdriver.Chrome:
    """A Chromium of its own that saves what it downloads without asking."""
    options = Options()
    prefs = {
        "download.default_directory": str(downloads),
        "profile.default_content_setting_values.automatic_downloads": 1,
    }
    options.add_experimental_option("prefs", prefs)
    options.binary_location = find_program("chromium")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(find_program("chromedriver")))


def open_page(driver: webdriver.Chrome, url: str) -> None:
    """Open a page anew, with logs and a storage of its own: a page that is left complains about what it was waiting
    for, and keeps its drawing for the next one of the same address.
    """
    set_width(driver, 1280)
    driver.get(f"{url.rstrip('/')}/robots.txt")  # of the same origin, without the page
    driver.execute_script("sessionStorage.clear()")
    driver.get("about:blank")
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    driver.get(url)


def assert_no_errors(driver: webdriver.Chrome) -> None:
    """The page's console holds no error; a missing favicon is none."""
    errors = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [text for text in errors if "favicon" not in text]


def set_width(driver: webdriver.Chrome, width: int, height: int = 1400) -> None:
    """Width of the page in CSS pixels; a headless window cannot be narrower than 500."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def wait(driver: webdriver.Chrome, condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`; what the page replaced, or has not drawn yet, is looked for again."""
    passing = (StaleElementReferenceException, IndexError)
    waiting = WebDriverWait(driver, PATIENCE, 0.1, ignored_exceptions=passing)
    return waiting.until(lambda _: condition())


def find(driver: webdriver.Chrome, selector: str) -> WebElement:
    """The first element of a CSS selector, once it is there."""
    return wait(driver, lambda: driver.find_elements(By.CSS_SELECTOR, selector))[0]


def open_tab(driver: webdriver.Chrome, name: str) -> None:
    """Click a tab of the page; on a narrow page it may be in the menu of those that do not fit."""

    def click() -> bool:
        for selector in ("#tabs button[role=tab]", "#tabs .overflow-dropdown button"):
            for button in driver.find_elements(By.CSS_SELECTOR, selector):
                if button.get_attribute("textContent").strip() == name:
                    if "dropdown" in selector:
                        find(driver, "#tabs button[aria-label='More tabs']").click()
                    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
                    button.click()
                    return True
        return False

    wait(driver, click)


def downloaded(driver: webdriver.Chrome, path: Path) -> Path:
    """A file that the browser has finished to download."""
    wait(driver, lambda: path.is_file() and not list(path.parent.glob("*.crdownload")))
    return path


def loaded_images(driver: webdriver.Chrome, selector: str) -> list[dict[str, Any]]:
    """Source, width and height of the pictures under `selector` that have arrived."""
    script = (
        "return [...document.querySelectorAll(arguments[0] + ' img')].filter(i => i.complete && i.naturalWidth)"
        ".map(i => ({src: i.src, width: i.naturalWidth, height: i.naturalHeight}))"
    )
    return driver.execute_script(script, selector)


def fetch(source: str) -> np.ndarray:
    """(height, width, 3) uint8 of a picture's address or data URL."""
    if source.startswith("data:"):
        data = io.BytesIO(base64.b64decode(source.split(",", 1)[1]))
        return np.asarray(Image.open(data).convert("RGB"))
    with urlopen(source) as answer:
        return np.asarray(Image.open(answer).convert("RGB"))


def message(driver: webdriver.Chrome) -> str:
    """The text of the error that the page shows."""
    return wait(driver, lambda: find(driver, ".toast-message-text").text)
