# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Painting on the label canvas in a headless Chromium; what arrives in Python is compared pixel by pixel.

Needs Debian's packages chromium and chromium-driver. Without them the tests are skipped, under CI they fail.
"""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import numpy as np
import pytest
from browser import set_width, wait
from gradio_client import Client
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from dpsims_hf.demo.label_canvas import LabelCanvas


pytestmark = pytest.mark.browser

HEIGHT, WIDTH = 32, 64
ERASER = 4


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
            few = LabelCanvas(START, classes=FEW, eraser_label=ERASER, elem_id="few")
            many = LabelCanvas(START, classes=MANY, elem_id="many", live_interval_ms=0)
            buttons = {name: gr.Button(name, elem_id=name) for name in ("value", "classes", "shrink", "photo")}
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
            "arguments[0].scrollIntoView({block: 'center'}); const b = arguments[0].getBoundingClientRect();"
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


@pytest.fixture(scope="module")
def events() -> dict[str, list[np.ndarray]]:
    """The maps that Python got, by canvas, since the page was loaded."""
    return {"few": [], "many": [], "hidden": []}


@pytest.fixture(scope="module")
def url(events) -> Iterator[str]:
    demo = build_app(lambda name, label_map: events[name].append(label_map))
    _, address, _ = demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, show_error=True)
    yield address
    demo.close()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str, events: dict[str, list[np.ndarray]]) -> Iterator[Page]:
    set_width(driver, 1280)
    driver.get(url)
    page = Page(driver, events)
    page.wait(lambda: page.data("few", "undo") == "0" and page.data("many", "undo") == "0")
    for maps in events.values():
        maps.clear()
    yield page
    errors = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in errors if "favicon" not in message]


def disc(middles: list[tuple[float, float]], diameter: int) -> np.ndarray:
    """Pixels whose middle is within the radius of one of the (x, y), as a (HEIGHT, WIDTH) mask."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.any([(x - mx) ** 2 + (y - my) ** 2 <= diameter**2 / 4 for mx, my in middles], axis=0)


@pytest.mark.parametrize("diameter", [1, 2, 5, 8])
def test_a_stroke_has_exactly_the_pixels_of_a_round_brush(page, diameter):
    page.choose("tree")
    page.size(diameter)
    shift = 0.5 if diameter % 2 else 0  # an even brush lies around a corner of pixels
    page.drag((10 + shift, 15 + shift), (25 + shift, 15 + shift))
    wanted = START.copy()
    wanted[disc([(x + shift, 15 + shift) for x in range(10, 26)], diameter)] = 2
    page.expect(wanted)
    assert page.data("few", "undo") == "1" and page.data("few", "label") == "2"


def test_a_fast_diagonal_stroke_has_no_gaps_and_may_leave_the_canvas(page):
    page.choose("car")
    page.size(1)
    page.drag((5.5, 2.5), (25.5, 22.5))
    wanted = START.copy()
    wanted[range(2, 23), range(5, 26)] = 3
    page.expect(wanted)
    page.drag((60.5, 28.5), (70.5, 28.5))
    wanted[28, 60:] = 3
    page.expect(wanted)


def test_a_finger_paints(page):
    page.choose("car")
    page.size(1)
    element, x, y = page.spot(8.5, 8.5)
    builder = ActionBuilder(page.driver, mouse=PointerInput("touch", "finger"), duration=0)
    finger = builder.pointer_action
    finger.move_to(element, x, y).pointer_down()
    finger.move_to(*page.spot(12.5, 8.5)).pointer_up()
    builder.perform()
    wanted = START.copy()
    wanted[8, 8:13] = 3
    page.expect(wanted)


def test_fill_takes_the_4_connected_area(page):
    page.choose("tree")
    page.size(1)
    page.drag((10.5, 0.5), (10.5, 9.5))  # a wall with a diagonal step, through which the fill must not leak
    page.drag((9.5, 10.5), (9.5, 19.5))
    page.choose("car")
    page.tool("fill")
    page.click((3.5, 3.5))
    wanted = START.copy()
    wanted[:10, 10] = wanted[10:20, 9] = 2
    wanted[:10, :10] = wanted[10:20, :9] = 3
    page.expect(wanted)


def test_rectangle_and_eraser(page):
    page.choose("car")
    page.tool("rectangle")
    page.drag((20.5, 25.5), (8.5, 18.5))
    wanted = START.copy()
    wanted[18:26, 8:21] = 3
    page.expect(wanted)

    page.tool("eraser")
    page.size(1)
    page.drag((8.5, 18.5), (20.5, 18.5))
    wanted[18, 8:21] = ERASER
    page.expect(wanted)
    page.choose("sky")  # who takes a class wants to paint it
    assert page.data("few", "tool") == "brush"


def test_a_polygon_is_closed_by_enter_by_a_double_click_and_at_its_first_corner(page):
    page.choose("car")
    page.tool("polygon")
    wanted = START.copy()
    page.click((5.5, 5.5), (15.5, 5.5), (15.5, 12.5), (5.5, 12.5))
    page.press(Keys.ENTER)
    wanted[5:13, 5:16] = 3
    page.expect(wanted)

    page.click((20.5, 15.5), (24.5, 15.5), (24.5, 18.5))
    ActionChains(page.driver, duration=0).click().perform()
    for row in range(15, 19):  # a triangle: the outline is part of it
        wanted[row, round(20 + (row - 15) * 4 / 3 + 1e-9) : 25] = 3
    page.wait(lambda: len(page.events["few"]) == 2)
    assert set(np.unique(page.events["few"][-1][wanted == 3])) == {3}
    assert abs(int((page.events["few"][-1] == 3).sum() - (wanted == 3).sum())) <= 3

    page.click((40.5, 12.5), (50.5, 12.5), (50.5, 15.5), (40.5, 15.5), (40.5, 12.5))
    page.wait(lambda: len(page.events["few"]) == 3)
    assert (page.events["few"][-1][12:16, 40:51] == 3).all()


def test_escape_gives_up_a_polygon(page):
    page.tool("polygon")
    page.click((5.5, 25.5), (15.5, 25.5), (15.5, 30.5))
    page.press(Keys.ESCAPE, Keys.ENTER)  # Enter begins another one
    page.tool("rectangle")
    page.drag((0.5, 31.5), (0.5, 31.5))
    wanted = START.copy()
    wanted[31, 0] = 0
    page.expect(wanted)
    assert len(page.events["few"]) == 1


def test_undo_redo_and_clear(page):
    page.choose("tree")
    page.tool("rectangle")
    page.drag((1.5, 1.5), (4.5, 4.5))
    first = START.copy()
    first[1:5, 1:5] = 2
    page.expect(first)
    page.choose("car")
    page.action("clear")
    page.expect(np.full_like(START, 3))
    page.press(Keys.CONTROL + "z")
    page.expect(first)
    page.action("undo")
    page.expect(START)
    assert (page.data("few", "undo"), page.data("few", "redo")) == ("0", "2")
    page.press(Keys.CONTROL + Keys.SHIFT + "z")
    page.expect(first)
    page.press(Keys.CONTROL + "y")
    page.expect(np.full_like(START, 3))
    page.action("undo")
    page.tool("rectangle")
    page.drag((0.5, 0.5), (0.5, 0.5))  # a new change ends what could be redone
    wanted = first.copy()
    wanted[0, 0] = 3
    page.expect(wanted)
    assert not page.find("#few [data-action=redo]").is_enabled()


def test_fifty_steps_can_be_undone(page):
    page.choose("car")
    page.size(1)
    page.press("b")
    page.find("#few canvas").send_keys(
        Keys.ARROW_UP, *[Keys.ARROW_RIGHT, " "] * 25, Keys.ARROW_UP, *[Keys.ARROW_LEFT, " "] * 25
    )
    page.wait(lambda: page.data("few", "undo") == "50")
    page.press(Keys.CONTROL + 50 * "z")
    page.expect(START)


def test_painting_what_is_there_is_no_event(page):
    page.choose("road")
    page.tool("rectangle")
    page.drag((3.5, 25.5), (9.5, 28.5))
    page.tool("fill")
    page.click((3.5, 25.5))
    page.action("clear")
    page.expect(np.ones_like(START))
    assert len(page.events["few"]) == 1 and page.data("few", "undo") == "1"


def test_pick_by_tool_and_by_alt_click(page):
    page.tool("rectangle")
    page.tool("pick")
    page.click((35.5, 6.5))
    assert page.data("few", "label") == "2" and page.data("few", "tool") == "rectangle"
    element, x, y = page.spot(5.5, 25.5)
    chain = ActionChains(page.driver, duration=0).key_down(Keys.ALT)
    chain.move_to_element_with_offset(element, x, y).click().key_up(Keys.ALT).perform()
    assert page.data("few", "label") == "1"
    assert page.find("#few .chosen").text == "road"
    assert not page.events["few"]


def test_painting_by_keyboard(page):
    page.choose("car")  # leaves the focus on the canvas
    page.size(1)
    wanted = START.copy()
    page.press(Keys.ARROW_RIGHT, Keys.SHIFT + Keys.ARROW_UP + Keys.NULL, " ")
    wanted[6, 33] = 3
    page.expect(wanted)
    assert page.find("#few .where").text == "6, 33: car"

    page.press("r", " ", Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ENTER)
    wanted[6:9, 32:34] = 3
    page.expect(wanted)

    page.press("e", *[Keys.ARROW_LEFT] * 3, " ")
    wanted[8, 29] = ERASER
    page.expect(wanted)

    page.press(
        "b", "p", " ", *[Keys.ARROW_DOWN] * 4, " ", *[Keys.ARROW_LEFT] * 4, " ", *[Keys.ARROW_UP] * 4, " ", Keys.ENTER
    )
    wanted[8:13, 25:30] = 3
    page.expect(wanted)

    page.press("f", Keys.SHIFT + Keys.ARROW_LEFT + Keys.NULL, " ")
    wanted[wanted == 0] = 3
    page.expect(wanted)


def test_keys_choose_tools_and_sizes_but_not_while_one_types(page):
    page.find("#few canvas").click()
    for key, name in zip("efrpib", ("eraser", "fill", "rectangle", "polygon", "pick", "brush"), strict=True):
        page.press(key)
        assert page.data("few", "tool") == name
        assert page.find(f"#few [data-tool={name}]:is(button)").get_attribute("aria-pressed") == "true"
    page.size(10)
    page.press("]")
    assert page.find("#few .size output").text == "12 px"
    page.press("[", "[")
    assert page.find("#few .size output").text == "8 px"
    page.press("/")
    page.press("f")
    assert page.find("#few .search").get_attribute("value") == "f"
    assert page.data("few", "tool") == "brush"


def shown(page: Page, canvas: str) -> list[str]:
    """The classes in the list, in its order."""
    script = (
        "return [...document.querySelectorAll(`#${arguments[0]} [role=option]`)].filter(e => e.checkVisibility())"
        ".map(e => e.querySelector('.name').textContent)"
    )
    return page.driver.execute_script(script, canvas)


def test_search_in_151_classes(page):
    page.find("#many .search").send_keys("light")
    assert shown(page, "many") == ["traffic light", "light"]
    page.find("#many .search").send_keys(Keys.ENTER)  # the exact name is the first hit
    assert page.data("many", "label") == "150"
    page.choose("thing 77", "many")
    assert page.data("many", "label") == "77"
    page.choose("120", "many")
    assert page.data("many", "label") == "120"
    page.find("#many .search").send_keys("nothing of this kind")
    assert not shown(page, "many") and page.find("#many .nothing").is_displayed()
    page.find("#many .search").send_keys(Keys.ENTER, Keys.ESCAPE)
    assert page.data("many", "label") == "120" and len(shown(page, "many")) == 151

    page.choose("light", "many")
    page.tool("fill", "many")
    page.click((3.5, 3.5), canvas="many")
    wanted = START.copy()
    wanted[START == 0] = 150
    page.expect(wanted, "many")
    used = [
        option.text.split("\n") for option in page.driver.find_elements(By.CSS_SELECTOR, "#many .used [role=option]")
    ]
    assert used == [["thing 1", "37.5 %"], ["thing 2", "5.9 %"], ["light", "56.6 %"]]


def test_the_list_of_classes_is_walked_by_keyboard(page):
    page.find("#many .search").send_keys("thing 14", Keys.ARROW_DOWN)
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert page.data("many", "label") == "114"
    page.press(Keys.END)
    option = page.find("#many [aria-selected=true]")
    assert page.data("many", "label") == "148" and option.text.startswith("thing 148")
    assert page.find("#many .classes").get_attribute("aria-activedescendant") == option.get_attribute("id")
    page.press(Keys.ENTER)
    assert page.driver.switch_to.active_element.tag_name == "canvas"


def test_events_come_while_the_stroke_lasts(page):
    page.choose("car")
    page.size(3)
    page.drag(*[(5.5 + 5 * i, 28.5) for i in range(8)], pause=0.2)
    wanted = START.copy()
    wanted[27:30, 4:42] = 3
    page.expect(wanted)
    counts = [int((label_map == 3).sum()) for label_map in page.events["few"]]
    assert len(counts) >= 3 and counts == sorted(counts) and counts[0] < counts[-1]

    page.choose("light", "many")
    page.drag((5.5, 28.5), (20.5, 28.5), (30.5, 28.5), canvas="many", pause=0.3)
    page.wait(lambda: page.events["many"])
    assert page.data("many", "undo") == "1" and len(page.events["many"]) == 1  # its live_interval_ms is 0


def test_two_canvases_do_not_disturb_each_other(page):
    page.choose("car")
    page.tool("fill")
    page.click((1.5, 1.5))
    page.wait(lambda: page.events["few"])
    assert page.data("many", "tool") == "brush" and page.data("many", "label") == "0"
    assert page.data("many", "undo") == "0" and not page.events["many"]
    ActionChains(page.driver, duration=0).move_to_element(page.find("#many canvas")).perform()
    page.press("r")  # the pointer is over the one, the focus in the other: the focus decides
    assert page.data("few", "tool") == "rectangle" and page.data("many", "tool") == "brush"


def test_a_map_from_python_replaces_the_canvas_and_fires_nothing(page):
    page.find("#value").click()
    page.wait(lambda: "16 × 8" in page.find("#few .extent").text)
    assert page.data("few", "undo") == "1"
    page.choose("tree")
    page.tool("rectangle")
    page.drag((0.5, 0.5), (0.5, 0.5))
    wanted = np.full((8, 16), 3)
    wanted[0, 0] = 2
    page.expect(wanted)
    assert len(page.events["few"]) == 1
    page.action("undo")
    page.action("undo")  # over the exchange of the map
    page.expect(START)
    page.action("redo")
    page.expect(np.full((8, 16), 3))


def test_a_map_from_python_ends_the_stroke_in_progress(page):
    page.choose("car")
    hand = ActionChains(page.driver, duration=0)
    hand.move_to_element_with_offset(*page.spot(5.5, 15.5)).click_and_hold()
    hand.move_to_element_with_offset(*page.spot(20.5, 15.5)).perform()
    page.wait(lambda: page.events["few"])
    page.driver.execute_script("document.querySelector('#value').click()")
    page.wait(lambda: "16 × 8" in page.find("#few .extent").text)
    before = len(page.events["few"])
    ActionChains(page.driver, duration=0).move_by_offset(20, 0).release().perform()
    page.choose("road")
    page.action("clear")
    page.expect(np.ones((8, 16), dtype=np.int64))
    assert len(page.events["few"]) == before + 1
    assert page.data("few", "undo") == "3"  # the stroke, the map from Python, the clearing


def test_a_hidden_tab_gets_its_map_and_its_classes(page):
    page.find("#classes").click()
    page.wait(lambda: "8 × 8" in page.find("#few .extent").text)
    assert shown(page, "few") == ["tree", "wall"] and page.data("few", "undo") == "0"
    page.driver.find_elements(By.CSS_SELECTOR, "button[role=tab]")[1].click()
    page.wait(lambda: page.find("#hidden canvas").is_displayed())
    assert shown(page, "hidden") == ["tree", "wall"]
    page.choose("wall", "hidden")
    page.tool("rectangle", "hidden")
    page.drag((2.5, 2.5), (5.5, 3.5), canvas="hidden")
    wanted = np.ones((8, 8), dtype=np.int64)
    wanted[2:4, 2:6] = 0
    page.expect(wanted, "hidden")
    page.tool("eraser", "hidden")
    page.size(1, "hidden")
    page.click((2.5, 2.5), canvas="hidden")
    wanted[2, 2] = 1
    page.expect(wanted, "hidden")

    page.driver.find_elements(By.CSS_SELECTOR, "button[role=tab]")[0].click()
    page.driver.find_elements(By.CSS_SELECTOR, "button[role=tab]")[1].click()
    page.action("undo", "hidden")  # nothing was lost on the way there and back
    wanted[2, 2] = 0
    page.expect(wanted, "hidden")


def test_a_canvas_without_a_map_says_so(page):
    page.driver.find_elements(By.CSS_SELECTOR, "button[role=tab]")[1].click()
    page.wait(lambda: page.find("#hidden .empty").is_displayed())
    assert page.find("#hidden .empty").text == "No label map yet."
    page.action("clear", "hidden")
    page.find("#hidden .label-canvas").click()
    page.press("b")
    assert not page.events["hidden"]


def test_new_classes_keep_the_chosen_name_and_drop_unknown_ids(page):
    page.choose("tree")
    page.tool("rectangle")
    page.drag((0.5, 0.5), (1.5, 0.5))
    page.wait(lambda: page.data("few", "undo") == "1")
    page.find("#shrink").click()
    page.wait(lambda: shown(page, "few") == ["wall", "tree"])
    assert page.data("few", "label") == "1" and page.data("few", "undo") == "0"
    page.choose("wall")
    page.drag((1.5, 0.5), (1.5, 0.5))
    wanted = np.minimum(START, 1)
    wanted[0, :2] = 1, 0
    page.expect(wanted)


def test_a_photo_shows_through(page):
    assert not page.find("#few .opacity").is_displayed()
    page.choose("car")
    page.tool("fill")
    page.click((1.5, 1.5))
    page.wait(lambda: page.events["few"])
    page.find("#photo").click()
    page.wait(lambda: page.find("#few .photo").is_displayed())
    assert float(page.find("#few canvas").value_of_css_property("opacity")) == pytest.approx(0.6)
    page.click((1.5, 25.5))
    page.expect(np.where(START == 2, 2, 3))  # the painted map is still there
    assert page.data("few", "undo") == "2"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_everything_and_hits_the_right_pixels(page, url, dark):
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 3, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.driver.get(f"{url}?__theme={'dark' if dark else 'light'}")
        page.choose("car")
        page.tool("rectangle")
        page.drag((20.5, 10.5), (25.5, 18.5))
        wanted = START.copy()
        wanted[10:19, 20:26] = 3
        page.expect(wanted)
        script = (
            "const edge = document.querySelector('#few .label-canvas').getBoundingClientRect();"
            "return [...document.querySelectorAll('#few .label-canvas *')].filter(e => e.checkVisibility()"
            " && (e.getBoundingClientRect().right > edge.right + 1 || e.getBoundingClientRect().left < edge.left - 1))"
            ".map(e => e.outerHTML.slice(0, 80)).concat(document.documentElement.scrollWidth > 390 ? ['page'] : [])"
        )
        assert page.driver.execute_script(script) == []
        heights = [
            e.size["height"] for e in page.driver.find_elements(By.CSS_SELECTOR, "#few button, #few [role=option]")
        ]
        assert min(heights) >= 36
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_hostile_payload_is_refused_in_words_and_the_server_lives(page, url):
    client = Client(url, verbose=False)
    for payload, words in (
        ({"width": 10**9, "height": 10**9, "runs": [0, 1]}, "at most 4,000,000 pixels"),
        ({"width": 2, "height": 2, "runs": [9, 4]}, "label id 9 out of range: there are 5 classes"),
        ({"width": 2, "height": 2, "runs": [0, 1e300]}, "whole numbers only"),
        ("<script>", "expected an object"),
    ):
        with pytest.raises(Exception, match=words):
            client.predict(payload, api_name="/few")
    client.predict({"width": 2, "height": 1, "runs": [4, 2]}, api_name="/few")
    page.expect(np.array([[4, 4]]))
