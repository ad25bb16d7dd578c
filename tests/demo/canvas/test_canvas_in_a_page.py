# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The label canvas as a part of a page, in a headless Chromium: search, events, maps from Python, phones."""

import numpy as np
import pytest
from canvas_page import ERASER, START, Page
from gradio_client import Client
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


pytestmark = pytest.mark.browser


def shown(page: Page, canvas: str) -> list[str]:
    """The classes in the list, in its order."""
    script = (
        "return [...document.querySelectorAll(`#${arguments[0]} [role=option]`)].filter(e => e.checkVisibility())"
        ".map(e => e.querySelector('.name').textContent)"
    )
    return page.driver.execute_script(script, canvas)


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert shown(page, "few") == ["tree", "wall"] and page.data("few", "undo") == "1"
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


@pytest.mark.slow
def test_new_classes_carry_the_drawing_and_its_history_by_name_and_back(page):
    page.choose("tree")
    page.tool("rectangle")
    page.drag((0.5, 0.5), (1.5, 0.5))
    page.wait(lambda: page.data("few", "undo") == "1")
    page.find("#shrink").click()
    page.wait(lambda: shown(page, "few") == ["tree", "wall"])
    assert page.data("few", "label") == "1" and page.data("few", "undo") == "1"
    note = page.find("#few .foreign").text
    assert note.startswith("No match in this model for sky, road: drawn as tree"), note
    page.choose("wall")
    page.drag((1.5, 0.5), (1.5, 0.5))
    wanted = np.ones_like(START)  # what these classes lack is the eraser's class for Python
    wanted[0, 1] = 0
    page.expect(wanted)

    page.find("#back").click()
    wanted = START.copy()
    wanted[0, :2] = 2, ERASER  # the wall is now what is not known
    page.expect(wanted)
    assert "wall: drawn as void" in page.find("#few .foreign").text
    page.action("undo")
    wanted[0, 1] = 2
    page.expect(wanted)
    page.action("undo")
    page.expect(START)
    assert not page.find("#few .foreign").is_displayed()


def test_another_model_gets_the_drawing_at_its_size(page):
    page.choose("car")
    page.tool("rectangle")
    page.drag((4.5, 4.5), (7.5, 7.5))
    wanted = START.copy()
    wanted[4:8, 4:8] = 3
    page.expect(wanted)
    page.find("#larger").click()
    page.expect(wanted.repeat(2, 0).repeat(2, 1))  # sent again, although no class has changed
    page.action("undo")
    page.expect(START.repeat(2, 0).repeat(2, 1))


def test_a_reload_loses_nothing(page):
    page.choose("car")
    page.tool("rectangle")
    page.drag((4.5, 4.5), (7.5, 7.5))
    first = START.copy()
    first[4:8, 4:8] = 3
    page.expect(first)
    page.drag((40.5, 24.5), (47.5, 27.5))
    page.expect(np.where(np.pad(np.ones((4, 8), bool), ((24, 4), (40, 16))), 3, first))
    page.reload()
    assert (page.data("few", "undo"), page.data("few", "label")) == ("2", "3")
    page.action("undo")
    page.expect(first)
    page.reload()
    assert (page.data("few", "undo"), page.data("few", "redo")) == ("1", "1")
    page.action("undo")
    page.expect(START)


@pytest.mark.parametrize("kept", ["null", "{", '{"width": 1e9, "height": 1, "classes": [], "runs": "0 1"}', "[1]"])
def test_what_was_not_kept_by_a_canvas_is_not_restored(page, kept):
    page.driver.execute_script("sessionStorage.setItem('dpsims.canvas.few', arguments[0])", kept)
    page.reload()
    page.choose("car")
    page.action("clear")
    page.expect(np.full_like(START, 3))
    assert page.data("few", "undo") == "1"


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
        page.find("#few [role=option][data-label='3']").click()  # few classes need no search here
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
        parts = page.driver.find_elements(By.CSS_SELECTOR, "#few button, #few [role=option]")
        heights = [part.size["height"] for part in parts if part.is_displayed()]  # the list of keys is closed
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
