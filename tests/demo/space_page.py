# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The whole page for browser tests: its models, and what a hand and an eye do with it."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import numpy as np
import torch
from page_browser import fetch, find, loaded_images, wait
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dpsims_hf import DPSIMSGenerator, DPSIMSGeneratorConfig, SemanticImageProcessor, SemanticImageSynthesisPipeline
from dpsims_hf.demo import build_demo, launch_options
from dpsims_hf.demo.drawing.example_maps import CAMVID_CLASSES, EXAMPLES_DIR, FACADE_CLASSES
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary
from dpsims_hf.hub import save_model_folder


HEIGHT, WIDTH = 96, 128


def street_model(classes: dict[str, tuple[int, int, int]] = CAMVID_CLASSES, seed: int = 0) -> LoadedModel:
    """A random generator in the label space of drawn examples, at half their size."""
    id2label = dict(enumerate([*classes, "void"]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = DPSIMSGeneratorConfig.from_preset(
            "tiny",
            num_labels=None,
            id2label=id2label,
            image_size=(HEIGHT, WIDTH),
            attention_strides=[8],
            attention_gate_init=1.0,
        )
        generator = DPSIMSGenerator(config).eval()
    processor = SemanticImageProcessor(
        id2label=id2label,
        palette=[*map(list, classes.values()), [0, 0, 0]],
        void_label_id=len(classes),
        void_values=[255],
        size={"height": HEIGHT, "width": WIDTH},
        size_divisor=config.size_divisor,
    )
    return LoadedModel("drawn", SemanticImageSynthesisPipeline(generator_model=generator, processor=processor))


def street_library(folder: Path) -> ModelLibrary:
    """`drawn`, checkpoints/second of the same classes, checkpoints/facade of some of them and others."""
    for name, classes in (("second", CAMVID_CLASSES), ("facade", FACADE_CLASSES)):
        model = street_model(classes, seed=1)
        save_model_folder(folder / "checkpoints" / name, model.pipe.generator_model, model.processor)
    return ModelLibrary(street_model(), folder / "checkpoints")


def launch(library: ModelLibrary, port: int | None = None) -> tuple[gr.Blocks, str]:
    """A running page, and its address."""
    demo = build_demo(library)
    options = {"server_name": "127.0.0.1", "prevent_thread_lock": True, "quiet": True, **launch_options()}
    return demo, demo.launch(server_port=port, **options)[1]


def avenue(model: LoadedModel) -> np.ndarray:
    """The map that the canvas opens with."""
    return model.fit(np.asarray(Image.open(EXAMPLES_DIR / "avenue.png")).astype(np.int64))


def drawn(model: LoadedModel, label_map: np.ndarray, seed: int = 0, **options) -> np.ndarray:
    """What the pipeline draws, (height, width, 3) uint8."""
    height, width = label_map.shape
    size = {"height": height, "width": width}
    return np.asarray(model.pipe(label_map, seed, 1, size=size, **options).images[0])


def shows(driver: webdriver.Chrome, selector: str, wanted: np.ndarray) -> bool:
    """Whether the picture there is exactly this one."""
    images = loaded_images(driver, selector)
    return bool(images) and np.array_equal(fetch(images[0]["src"]), wanted)


def choose_class(driver: webdriver.Chrome, name: str) -> None:
    search = find(driver, "#sketch-canvas .search")
    search.clear()
    search.send_keys(name, Keys.ENTER)


def tool(driver: webdriver.Chrome, name: str) -> None:
    find(driver, f"#sketch-canvas button[data-tool={name}]").click()


def drag(driver: webdriver.Chrome, *points: tuple[float, float]) -> None:
    """Over the middles of the canvas's pixels (column, row)."""
    canvas = find(driver, "#sketch-canvas canvas")
    script = (
        "arguments[0].scrollIntoView({block: 'center'}); const b = arguments[0].getBoundingClientRect();"
        "return [b.width / arguments[0].width, b.height / arguments[0].height, b.width, b.height]"
    )
    scale_x, scale_y, width, height = driver.execute_script(script, canvas)
    spots = [(round((x + 0.5) * scale_x - width / 2), round((y + 0.5) * scale_y - height / 2)) for x, y in points]
    chain = ActionChains(driver, duration=0).move_to_element_with_offset(canvas, *spots[0]).click_and_hold()
    for spot in spots[1:]:
        chain.move_to_element_with_offset(canvas, *spot)
    chain.release().perform()


def rectangle(driver: webdriver.Chrome, name: str, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Paint one of a class over the pixels (column, row) start .. end."""
    choose_class(driver, name)
    tool(driver, "rectangle")
    drag(driver, start, end)


def choose_model(driver: webdriver.Chrome, name: str) -> None:
    choice = find(driver, "#model input")
    choice.click()
    choice.send_keys(Keys.CONTROL + "a")
    choice.send_keys(name, Keys.ENTER)


def classes_shown(driver: webdriver.Chrome) -> list[str]:
    """Names of the palette that are in sight."""
    script = (
        "return [...document.querySelectorAll('#sketch-canvas [role=option]')].filter(e => {"
        "const b = e.getBoundingClientRect(); const hit = document.elementFromPoint(b.x + b.width / 2, b.y + 10);"
        "return hit && e.contains(hit)}).map(e => e.querySelector('.name').textContent)"
    )
    return driver.execute_script(script)


def box(driver: webdriver.Chrome, selector: str) -> dict[str, float]:
    """Place and size of an element in the window."""
    return driver.execute_script(
        "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", selector
    )


def chips(driver: webdriver.Chrome) -> dict[str, str]:
    """The legend of the upload tab: share by class name."""
    script = (
        "return [...document.querySelectorAll('#upload-legend .chip')].map(c => c.innerText.replace(/\\s+/g, ' '))"
    )
    return dict(text.split(" ", 1) for text in driver.execute_script(script))


def upload(driver: webdriver.Chrome, selector: str, path: Path) -> None:
    wait(driver, lambda: driver.find_elements(By.CSS_SELECTOR, f"{selector} input[type=file]"))[0].send_keys(str(path))


def captions(driver: webdriver.Chrome, selector: str = "#vary-gallery") -> Sequence[str]:
    return [element.text for element in driver.find_elements(By.CSS_SELECTOR, f"{selector} .caption-label")]
