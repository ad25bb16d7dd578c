# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The page with canvases that the browser tests paint on, as a hand and an eye use it."""

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np
import pytest
from page_browser import wait
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from dpsims_hf.demo.canvas.label_canvas import LabelCanvas


HEIGHT, WIDTH = 32, 64
ERASER = 4
BUTTONS = ("value", "classes", "shrink", "back", "larger", "photo")
GUIDE = "Pick a class and draw."


def named(names: list[str]) -> list[dict[str, Any]]:
    return [{"id": i, "name": name, "color": [i, 255 - i, 7 * i % 256]} for i, name in enumerate(names)]


FEW = named(["sky", "road", "tree", "car", "void"])
MANY = named([f"thing {i}" for i in range(149)] + ["traffic light", "light"])
START = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
START[20:, :] = 1
START[4:10, 30:50] = 2


def build_app(record: Callable[[str, np.ndarray], None]) -> gr.Blocks:
    """Two canvases on the first tab, one on the second, which is mounted when it is opened."""
    other_map, other_classes = np.full((8, 16), 3), named(["wall", "tree"])
    image = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='4' height='2'/%3E"
    with gr.Blocks(analytics_enabled=False) as demo:
        with gr.Tab("Open"):
            few = LabelCanvas(START, classes=FEW, eraser_label=ERASER, keep="few", guide=GUIDE, elem_id="few")
            many = LabelCanvas(START, classes=MANY, elem_id="many", live_interval_ms=0)
            buttons = {name: gr.Button(name, elem_id=name) for name in BUTTONS}
        with gr.Tab("Hidden"):
            hidden = LabelCanvas(classes=FEW, elem_id="hidden")
        for canvas in (few, many, hidden):
            name = canvas.elem_id
            canvas.paint(
                lambda label_map, name=name: record(name, label_map), canvas, None, queue=False, api_name=name
            )
        outputs = {"inputs": None, "outputs": [few, hidden], "queue": False, "show_progress": "hidden"}
        buttons["value"].click(lambda: (other_map, other_map), **outputs)
        update = {"classes": other_classes, "eraser_label": 1}
        buttons["classes"].click(lambda: [LabelCanvas(np.full((8, 8), 1), **update)] * 2, **outputs)
        buttons["shrink"].click(lambda: LabelCanvas(**update), None, few, queue=False)
        back = {"classes": FEW, "eraser_label": ERASER, "owner": "first"}
        buttons["back"].click(lambda: LabelCanvas(**back), None, few, queue=False)
        larger = back | {"owner": "large", "fit": {"height": 64, "width": 128, "divisor": 16, "stretch": 4}}
        buttons["larger"].click(lambda: LabelCanvas(**larger), None, few, queue=False)
        buttons["photo"].click(lambda: LabelCanvas(underlay=image), None, few, queue=False)
    return demo


class Page:
    """The page as a hand and an eye use it."""

    def __init__(self, driver: webdriver.Chrome, events: dict[str, list[np.ndarray]]) -> None:
        self.driver, self.events = driver, events

    def wait(self, condition: Callable[[], Any]) -> Any:
        """The first true value of `condition`."""
        return wait(self.driver, condition)

    def find(self, selector: str) -> WebElement:
        return self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector))[0]

    def data(self, canvas: str, key: str) -> str:
        return self.find(f"#{canvas} .label-canvas").get_attribute(f"data-{key}")

    def reload(self) -> None:
        """Load the page anew, as after a restart of the server."""
        self.driver.refresh()
        self.wait(lambda: self.data("few", "undo") is not None)

    def press(self, *keys: str) -> None:
        """Modifiers hold until the end of their call or `Keys.NULL`."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def tool(self, name: str, canvas: str = "few") -> None:
        self.find(f"#{canvas} [data-tool={name}]:is(button)").click()

    def action(self, name: str, canvas: str = "few") -> None:
        self.find(f"#{canvas} [data-action={name}]").click()

    def choose(self, name: str, canvas: str = "few") -> None:
        self.find(f"#{canvas} .search").send_keys(name, Keys.ENTER)

    def size(self, pixels: int, canvas: str = "few") -> None:
        slider = self.find(f"#{canvas} .size input")
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
        self.driver.execute_script(script, slider, pixels)

    def spot(self, x: float, y: float, canvas: str = "few") -> tuple[WebElement, int, int]:
        """Canvas element and offset from its middle of the point (x, y) of the map, pixels' middles at 0.5."""
        element = self.find(f"#{canvas} canvas")
        script = (
            "arguments[0].closest('.stage').scrollIntoView({block: 'center'});"
            "const b = arguments[0].getBoundingClientRect();"
            "return [b.width / arguments[0].width, b.height / arguments[0].height, b.width, b.height]"
        )
        scale_x, scale_y, width, height = self.driver.execute_script(script, element)
        return element, round(x * scale_x - width / 2), round(y * scale_y - height / 2)

    def drag(self, *points: tuple[float, float], canvas: str = "few", pause: float = 0) -> None:
        chain = ActionChains(self.driver, duration=0)
        chain.move_to_element_with_offset(*self.spot(*points[0], canvas)).click_and_hold()
        for point in points[1:]:
            chain.pause(pause).move_to_element_with_offset(*self.spot(*point, canvas))
        chain.release().perform()

    def click(self, *points: tuple[float, float], canvas: str = "few") -> None:
        for point in points:
            ActionChains(self.driver, duration=0).move_to_element_with_offset(
                *self.spot(*point, canvas)
            ).click().perform()

    def expect(self, wanted: np.ndarray, canvas: str = "few") -> None:
        """Wait for this map to arrive in Python as the latest."""
        maps = self.events[canvas]
        try:
            self.wait(lambda: maps and np.array_equal(maps[-1], wanted))
        except Exception:
            differing = np.argwhere(maps[-1] != wanted) if maps and maps[-1].shape == wanted.shape else maps[-1:]
            pytest.fail(f"{len(maps)} events on {canvas}, the last differs at {differing}")


def disc(middles: list[tuple[float, float]], diameter: int) -> np.ndarray:
    """Pixels whose middle is within the radius of one of the (x, y), as a (HEIGHT, WIDTH) mask."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.any([(x - mx) ** 2 + (y - my) ** 2 <= diameter**2 / 4 for mx, my in middles], axis=0)
