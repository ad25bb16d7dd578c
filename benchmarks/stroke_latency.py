# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a painter feels: from the end of a stroke on the Sketch tab to the decoded new picture.

    python -m benchmarks.stroke_latency [--model checkpoints/dpsims-camvid-small] [--strokes 30]

Paints random strokes in a headless Chromium; the times are taken inside the page. Beside them stands the forward pass
alone, measured in this process. Needs Debian's packages chromium and chromium-driver.
"""

import argparse
import random
import shutil
import tempfile
import time
from typing import NamedTuple

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from dpsims_hf.demo.drawing.scenes import Scene, Variant, render
from dpsims_hf.demo.models.library import load_model

from .space_load import EMBEDDED, running_space


FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
PATIENCE = 60  # seconds for a picture
QUIET = 1.5  # seconds without another picture: the last one shows the whole stroke

# The page's clock, in milliseconds. A picture counts when its pixels are decoded, ready to be shown.
WATCH = """
window.strokeEnd = null; window.pictures = [];
document.addEventListener("pointerup", () => { window.strokeEnd = performance.now(); window.pictures = []; }, true);
const seen = async () => {
  const image = document.querySelector("#sketch-image img");
  if (!image || image.src === window.lastSource) return;
  window.lastSource = image.src;
  await image.decode();
  window.pictures.push(performance.now());
};
window.lastSource = document.querySelector("#sketch-image img").src;
const changes = { subtree: true, childList: true, attributes: true, attributeFilter: ["src"] };
new MutationObserver(seen).observe(document.querySelector("#sketch-image"), changes);
"""


class Stroke(NamedTuple):
    """Milliseconds from the end of a stroke to the first and to the last new picture after it."""

    first: float
    last: float


def open_browser(profile: str) -> webdriver.Chrome:
    """A headless Chromium as people have it, 1280 pixels wide."""
    options = Options()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, "--window-size=1280,1400", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def paint(driver: webdriver.Chrome, rng: random.Random) -> None:
    """A stroke of six straight pieces in a class drawn at random."""
    classes = driver.find_elements(By.CSS_SELECTOR, "#sketch-canvas [role=option]")
    driver.execute_script("arguments[0].click()", rng.choice(classes))
    canvas = driver.find_element(By.CSS_SELECTOR, "#sketch-canvas canvas")
    reach = [int(0.45 * canvas.size[side]) for side in ("width", "height")]
    points = [[rng.randint(-r, r) for r in reach] for _ in range(7)]
    actions = ActionChains(driver, duration=40)
    actions.move_to_element_with_offset(canvas, *points[0]).click_and_hold()
    for x, y in points[1:]:
        actions.move_to_element_with_offset(canvas, x, y)
    actions.release().perform()


def measure(driver: webdriver.Chrome) -> Stroke | None:
    """Wait for the pictures of the stroke just painted; None if all of it was shown before it ended."""
    end = time.monotonic() + PATIENCE
    known, since = 0, time.monotonic()
    while time.monotonic() < end:
        stroke_end, pictures = driver.execute_script("return [window.strokeEnd, window.pictures]")
        if len(pictures) != known:
            known, since = len(pictures), time.monotonic()
        # before the first picture nobody knows how long it takes
        if time.monotonic() - since > (QUIET if known else 4 * QUIET):
            return Stroke(pictures[0] - stroke_end, pictures[-1] - stroke_end) if known else None
        time.sleep(0.1)
    raise RuntimeError(f"pictures keep coming for {PATIENCE} seconds")


def measure_strokes(url: str, count: int) -> list[Stroke]:
    """Paint on a fresh page; the first stroke warms up and does not count."""
    rng, strokes = random.Random(0), []
    with tempfile.TemporaryDirectory() as profile:
        driver = open_browser(profile)
        try:
            driver.get(url)
            find = driver.find_elements
            WebDriverWait(driver, PATIENCE).until(lambda _: find(By.CSS_SELECTOR, "#sketch-image img"))
            WebDriverWait(driver, PATIENCE).until(lambda _: find(By.CSS_SELECTOR, "#sketch-canvas [role=option]"))
            driver.execute_script(WATCH)
            for _ in range(count + 1):
                paint(driver, rng)
                strokes.append(measure(driver))
        finally:
            driver.quit()
    return [stroke for stroke in strokes[1:] if stroke is not None]


def forward_milliseconds(source: str, repeats: int = 10) -> float:
    """Median of the pipeline's own time for one image at the training size."""
    model = load_model(source, source)
    rng = np.random.default_rng(0)
    height, width = model.training_size
    blocks = rng.integers(0, len(model.labels), (4, 4))
    scene = Scene("blocks", np.kron(blocks, np.ones((height // 4, width // 4), dtype=np.int64)), model.labels)
    times = []
    for seed in range(repeats + 1):
        start = time.perf_counter()
        render(model, scene, [Variant(seed)])
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--strokes", type=int, default=30)
    options = parser.parse_args()
    forward = forward_milliseconds(options.model)
    with running_space(options.model) as (url, _):
        strokes = measure_strokes(url, options.strokes)
    if not strokes:
        raise SystemExit("no stroke brought a new picture")
    print(f"{len(strokes)} strokes with a new picture after their end, {options.model}")
    for name in ("first", "last"):
        middle, late = np.percentile([getattr(stroke, name) for stroke in strokes], [50, 90])
        print(f"{name} picture after the stroke: median {middle:.0f} ms, p90 {late:.0f} ms")
    share = forward / np.median([stroke.last for stroke in strokes])
    print(f"forward pass alone: median {forward:.0f} ms, {100 * share:.0f} % of the median to the last picture")


if __name__ == "__main__":
    main()
