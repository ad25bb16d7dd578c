# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Space as a person sees it: a headless Chromium uploads, clicks and looks.

Needs Debian's packages chromium and chromium-driver. Without them the tests are skipped, under CI they fail.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import urlopen
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig, SemanticImageProcessor, SemanticImageSynthesisPipeline
from dpsims_hf.demo import build_demo, launch_options
from dpsims_hf.demo.draw_examples import CLASSES, EXAMPLES


pytestmark = pytest.mark.browser

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


@pytest.fixture(scope="module")
def pipe() -> SemanticImageSynthesisPipeline:
    """A random generator in CamVid's label space, at half the examples' size."""
    id2label = dict(enumerate([*CLASSES, "void"]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = DPSIMSGeneratorConfig.from_preset(
            "tiny",
            num_labels=None,
            id2label=id2label,
            image_size=(96, 128),
            attention_strides=[8],
            attention_gate_init=1.0,
        )
        generator = DPSIMSGenerator(config).eval()
    processor = SemanticImageProcessor(
        id2label=id2label,
        palette=[*map(list, CLASSES.values()), [0, 0, 0]],
        void_label_id=11,
        void_values=[255],
        size={"height": 96, "width": 128},
        size_divisor=config.size_divisor,
    )
    return SemanticImageSynthesisPipeline(generator_model=generator, processor=processor)


@pytest.fixture(scope="module")
def url(pipe) -> Iterator[str]:
    demo = build_demo(pipe)
    _, address, _ = demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
    yield address
    demo.close()


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser puts what it downloads."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.binary_location = find_program("chromium")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(find_program("chromedriver")))
    yield browser
    browser.quit()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str) -> webdriver.Chrome:
    driver.get(url)
    wait(driver, lambda: len(loaded_images(driver, "#examples")) == len(EXAMPLES))
    return driver


def wait(driver: webdriver.Chrome, condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`."""
    return WebDriverWait(driver, PATIENCE, poll_frequency=0.2).until(lambda _: condition())


def find(driver: webdriver.Chrome, selector: str) -> WebElement:
    return wait(driver, lambda: driver.find_elements(By.CSS_SELECTOR, selector))[0]


def choose_example(driver: webdriver.Chrome, number: int) -> dict[str, str]:
    """Click an example; returns the legend that appears."""
    driver.find_elements(By.CSS_SELECTOR, "#examples button.thumbnail-item")[number].click()
    return wait(driver, lambda: chips(driver))


def downloaded(driver: webdriver.Chrome, path: Path) -> Path:
    """A file that the browser has finished to download."""
    wait(driver, lambda: path.is_file() and not list(path.parent.glob("*.crdownload")))
    return path


def chips(driver: webdriver.Chrome) -> dict[str, str]:
    """The legend on the page: share by class name."""
    script = "return [...document.querySelectorAll('#legend .chip')].map(c => c.innerText.replace(/\\s+/g, ' '))"
    return dict(text.split(" ", 1) for text in driver.execute_script(script))


def loaded_images(driver: webdriver.Chrome, selector: str) -> list[dict[str, Any]]:
    """Source, width and height of the pictures under `selector` that have arrived."""
    script = (
        "return [...document.querySelectorAll(arguments[0] + ' img')].filter(i => i.complete && i.naturalWidth)"
        ".map(i => ({src: i.src, width: i.naturalWidth, height: i.naturalHeight}))"
    )
    return driver.execute_script(script, selector)


def generate_four(driver: webdriver.Chrome) -> list[dict[str, Any]]:
    """Click, wait, return the four pictures."""
    find(driver, "#go").click()
    return wait(driver, lambda: (found := loaded_images(driver, "#variants")) and len(found) == 4 and found)


def fetch(source: str) -> np.ndarray:
    with urlopen(source) as answer:
        return np.asarray(Image.open(answer).convert("RGB"))


def test_an_uploaded_mask_becomes_four_images(page, pipe, tmp_path):
    label_map = np.zeros((192, 256), dtype=np.uint8)
    label_map[96:] = 3
    label_map[110:150, 60:140] = 8
    Image.fromarray(label_map).save(tmp_path / "own.png")
    find(page, "#file input[type=file]").send_keys(str(tmp_path / "own.png"))

    assert list(wait(page, lambda: chips(page))) == ["sky", "road", "car"]
    assert chips(page)["sky"] == "50.0 %"
    shown = wait(page, lambda: loaded_images(page, "#label-map"))[0]
    assert set(map(tuple, fetch(shown["src"]).reshape(-1, 3))) == {CLASSES[name] for name in ("sky", "road", "car")}
    assert "256 × 192 pixels, used at 128 × 96" in wait(page, lambda: find(page, "#size-note").text)

    images = generate_four(page)
    assert [(image["width"], image["height"]) for image in images] == [(128, 96)] * 4
    captions = [element.text for element in page.find_elements(By.CSS_SELECTOR, "#variants .caption-label")]
    assert captions == ["seed 0", "seed 1", "seed 2", "seed 3"]
    expected = pipe(label_map, seed=0, num_images_per_label_map=4).images
    for image, wanted in zip(images, expected, strict=True):
        assert np.array_equal(fetch(image["src"]), np.asarray(wanted))
    assert "4 images of own.png" in wait(page, lambda: find(page, "#note").text)


def test_an_example_is_chosen_and_a_seed_drawn(page):
    legend = choose_example(page, 1)
    assert list(legend)[0] == "road" and {"sky", "building", "car", "pole"} <= set(legend)
    assert wait(page, lambda: loaded_images(page, "#label-map"))[0]["width"] == 128

    find(page, "#random-seed").click()
    seed = int(wait(page, lambda: (value := find(page, "#seed input").get_attribute("value")) != "0" and value))
    generate_four(page)
    captions = [element.text for element in page.find_elements(By.CSS_SELECTOR, "#variants .caption-label")]
    assert captions == [f"seed {seed + i}" for i in range(4)]

    # another example: the old images would contradict the new map
    choose_example(page, 2)
    wait(page, lambda: not loaded_images(page, "#variants"))


def test_a_bad_file_shows_one_line_and_no_stale_legend(page, tmp_path):
    choose_example(page, 0)
    find(page, "#file button[aria-label=Clear]").click()
    wait(page, lambda: not chips(page))
    Image.fromarray(np.full((96, 128), 99, dtype=np.uint8)).save(tmp_path / "bad.png")
    find(page, "#file input[type=file]").send_keys(str(tmp_path / "bad.png"))
    message = wait(page, lambda: find(page, ".toast-message-text").text)
    assert message.startswith("bad.png: label id 99 out of range") and "\n" not in message
    assert not chips(page) and not loaded_images(page, "#label-map")


def test_images_are_downloaded_under_names_that_tell_the_seed(page, downloads):
    choose_example(page, 0)
    images = generate_four(page)
    find(page, "#variants button[aria-label='Download All']").click()
    with ZipFile(downloaded(page, downloads / "gallery.zip")) as archive:
        assert all(any(f"avenue_seed_{seed}" in name for name in archive.namelist()) for seed in range(4))
    page.find_elements(By.CSS_SELECTOR, "#variants button.thumbnail-item")[1].click()
    find(page, "#variants button[aria-label=Download]").click()
    with Image.open(downloaded(page, downloads / "avenue_seed_1.png")) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), fetch(images[1]["src"]))


def test_the_palette_can_be_downloaded(page, downloads):
    page.find_elements(By.CSS_SELECTOR, "button[role=tab]")[1].click()
    rows = wait(page, lambda: page.find_elements(By.CSS_SELECTOR, "table.palette tbody tr"))
    wait(page, lambda: rows[0].text)
    assert [row.text.split()[1] for row in rows] == [*CLASSES, "void"]
    for suffix in ("json", "png", "gpl"):
        find(page, f"#palette-{suffix}").click()
        downloaded(page, downloads / f"palette.{suffix}")
    content = json.loads((downloads / "palette.json").read_text())
    assert [tuple(entry["color"]) for entry in content["classes"][:11]] == list(CLASSES.values())


def test_the_page_asks_nobody_outside(page, url):
    choose_example(page, 0)
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    hosts = {urlparse(address).netloc for address in asked if address.startswith(("http", "ws"))}
    assert hosts == {urlparse(url).netloc}


def test_a_missing_browser_fails_under_ci(monkeypatch):
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-browser is not installed"):
        find_program("no-such-browser")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception):
        find_program("no-such-browser")
    assert Path(find_program("sh")).exists()
