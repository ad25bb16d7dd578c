# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Painting on the label canvas in a headless Chromium, compared pixel by pixel with what arrives in Python."""

import numpy as np
import pytest
from canvas_page import ERASER, START, disc
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.keys import Keys


pytestmark = pytest.mark.browser


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
    page.drag((3.5, 28.5), (-6.5, 28.5))  # to the left, where the classes are: the window may end right of the canvas
    wanted[28, :4] = 3
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


def test_shift_and_a_click_draw_a_straight_line(page):
    page.choose("car")
    page.size(1)
    page.click((5.5, 25.5))
    element, x, y = page.spot(20.5, 28.5)
    chain = ActionChains(page.driver, duration=0).key_down(Keys.SHIFT)
    chain.move_to_element_with_offset(element, x, y).click().key_up(Keys.SHIFT).perform()
    wanted = START.copy()
    for column in range(5, 21):
        wanted[round(25 + (column - 5) * 3 / 15 + 1e-9), column] = 3
    page.expect(wanted)
    assert page.data("few", "undo") == "2"


def test_number_keys_choose_classes_and_the_search_knows_other_words(page):
    page.find("#few canvas").click()
    page.press("4")
    assert page.data("few", "label") == "3"
    page.press("9")  # there are five
    assert page.data("few", "label") == "3"
    for word, label in (("street", "1"), ("vehicle", "3"), ("plant", "2"), ("unknown", "4")):
        page.choose(word)
        assert page.data("few", "label") == label


def test_a_question_mark_lists_the_keys(page):
    page.find("#few canvas").click()
    assert not page.find("#few .keys").is_displayed()
    page.press("?")
    text = page.find("#few .keys").text
    assert "Undo" in text and "Shift and click" in text and "0" in text
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.find("#few .keys").is_displayed())
    page.action("keys")
    assert page.find("#few .keys").is_displayed()


def test_undo_in_a_polygon_takes_its_last_corner_alone(page):
    page.choose("car")
    page.tool("rectangle")
    page.drag((1.5, 1.5), (3.5, 3.5))
    wanted = START.copy()
    wanted[1:4, 1:4] = 3
    page.expect(wanted)
    page.tool("polygon")
    page.click((5.5, 5.5), (15.5, 5.5), (15.5, 12.5), (30.5, 30.5))
    page.press(Keys.CONTROL + "z")
    page.press(Keys.ENTER)
    page.wait(lambda: len(page.events["few"]) == 2)
    assert (page.events["few"][-1][25:] == START[25:]).all() and page.events["few"][-1][5, 10] == 3
    page.press(Keys.CONTROL + "z")
    page.expect(wanted)


def wheel(page, x, y, delta):
    """Ctrl and the wheel over a point of the map."""
    script = (
        "const e = arguments[0]; const b = e.getBoundingClientRect(); e.dispatchEvent(new WheelEvent('wheel', {"
        "ctrlKey: true, deltaY: arguments[3], bubbles: true, cancelable: true,"
        "clientX: b.left + arguments[1] * b.width / e.width, clientY: b.top + arguments[2] * b.height / e.height}))"
    )
    page.driver.execute_script(script, page.find("#few canvas"), x, y, delta)


def test_the_wheel_zooms_to_the_pointer_and_strokes_hit_the_right_pixels(page):
    page.choose("car")
    page.size(1)
    for _ in range(6):
        wheel(page, 16, 8, -100)
    assert float(page.data("few", "zoom")) == pytest.approx(2.718281828**1.8, abs=0.01)
    script = (
        "const e = arguments[0]; const b = e.getBoundingClientRect();"
        "return [14.5, 18.5].map(x => [b.x + x * b.width / e.width, b.y + 7.5 * b.height / e.height].map(Math.round))"
    )
    start, end = page.driver.execute_script(script, page.find("#few canvas"))
    builder = ActionBuilder(page.driver, duration=0)  # in the window: most of the map lies outside of it
    builder.pointer_action.move_to_location(*start).pointer_down().move_to_location(*end).pointer_up()
    builder.perform()
    wanted = START.copy()
    wanted[7, 14:19] = 3
    page.expect(wanted)
    page.press("0")
    assert page.data("few", "zoom") == "1.00"
    page.press("+", "+", "-")
    assert page.data("few", "zoom") == "1.25"
    page.find("#few [data-view=fit]").click()
    assert page.data("few", "zoom") == "1.00"


def test_space_and_a_drag_move_the_map_and_paint_nothing(page):
    page.choose("car")
    page.press("+", "+", "+", "+")
    stage = page.find("#few .stage")
    before = page.find("#few canvas").rect["x"]
    chain = ActionChains(page.driver, duration=0).move_to_element(stage).key_down(" ").click_and_hold()
    chain.move_by_offset(60, 10).release().key_up(" ").perform()
    assert page.find("#few canvas").rect["x"] == pytest.approx(before + 60, abs=2)
    assert page.data("few", "undo") == "0" and not page.events["few"]


def test_two_fingers_zoom_and_what_the_first_began_is_no_stroke(page):
    page.choose("car")
    page.size(3)
    element, x, y = page.spot(20.5, 10.5)
    middle = page.driver.execute_script(
        "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]", element
    )

    def touch(kind, *points):
        spots = [{"x": middle[0] + x + dx, "y": middle[1] + y + dy, "id": i} for i, (dx, dy) in enumerate(points)]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    touch("touchStart", (0, 0))
    touch("touchMove", (8, 0))
    touch("touchStart", (8, 0), (60, 0))
    touch("touchMove", (-40, 0), (110, 0))
    touch("touchEnd")
    assert float(page.data("few", "zoom")) > 2
    assert page.data("few", "undo") == "0"
    page.find("#few [data-view=fit]").click()
    page.tool("rectangle")
    page.drag((20.5, 10.5), (20.5, 10.5))
    wanted = START.copy()
    wanted[10, 20] = 3
    page.expect(wanted)


def test_keys_work_after_a_box_was_ticked(page):
    script = (
        "const box = document.createElement('input'); box.type = 'checkbox'; box.id = 'box';"
        "document.querySelector('#few').before(box)"
    )
    page.driver.execute_script(script)
    page.find("#box").click()
    ActionChains(page.driver, duration=0).move_to_element(page.find("#few .stage")).perform()
    page.press("e")
    assert page.data("few", "tool") == "eraser"
