# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a newcomer does on the page, by mouse or by finger: paint a car, choose a look, a photo's style, and so on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from page_browser import downloaded, fetch, find, loaded_images, open_page, set_width, wait
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement


Point = tuple[float, float]  # of an element, in parts of its width and height


class Mouse:
    """Clicks and strokes at 1280 pixels.

    Args:
        driver: of the browser.
    """

    width, height = 1280, 900

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.taps = 0  # as many as a person makes

    def start(self) -> None:
        set_width(self.driver, self.width, self.height)

    def stop(self) -> None:
        """Nothing to be taken back."""

    def tap(self, target: str | WebElement | Callable[[], WebElement], point: Point = (0.5, 0.5)) -> None:
        """Once it can be used."""
        self.taps += 1

        def press() -> bool:
            element = (
                find(self.driver, target) if isinstance(target, str) else target() if callable(target) else target
            )
            if element is None or not element.is_enabled() or not element.is_displayed():
                return False
            x, y = self.place(element, point)
            # what is tapped is what is seen there: nothing lies over it
            script = "const hit = document.elementFromPoint(arguments[1], arguments[2]); const e = arguments[0];"
            script += "return Boolean(hit) && (e.contains(hit) || hit.contains(e))"
            if not self.driver.execute_script(script, element, x, y):
                return False
            self.press(x, y)
            return True

        wait(self.driver, press)

    def place(self, element: WebElement, point: Point) -> Point:
        """In the window, to which it is scrolled."""
        script = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'});"
        script += "const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
        left, top, width, height = self.driver.execute_script(script, element)
        return left + point[0] * width, top + point[1] * height

    def stroke(self, target: str, points: Sequence[Point]) -> None:
        """Over parts of an element."""
        self.taps += 1
        element = find(self.driver, target)
        self.move([self.place(element, point) for point in points])

    def press(self, x: float, y: float) -> None:
        chain = ActionChains(self.driver, duration=0)
        chain.w3c_actions.pointer_action.move_to_location(round(x), round(y)).click()
        chain.perform()

    def move(self, spots: Sequence[Point]) -> None:
        chain = ActionChains(self.driver, duration=40)
        pointer = chain.w3c_actions.pointer_action
        pointer.move_to_location(*map(round, spots[0])).pointer_down()
        for spot in spots[1:]:
            pointer.move_to_location(*map(round, spot))
        pointer.pointer_up()
        chain.perform()


class Finger(Mouse):
    """Real touches on a phone of 390 x 844."""

    width, height = 390, 844

    def start(self) -> None:
        super().start()
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 5})

    def stop(self) -> None:
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})

    def press(self, x: float, y: float) -> None:
        self.move([(x, y)])

    def move(self, spots: Sequence[Point]) -> None:
        for kind, (x, y) in zip(["touchStart", *["touchMove"] * (len(spots) - 1)], spots, strict=True):
            touches = [{"x": x, "y": y, "id": 0}]
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


class Newcomer:
    """The steps, one after the other; each ends when the page shows what came of it.

    Args:
        hand: mouse or finger.
        url: of the page.
        downloads: where the browser puts files.
        seen: called after each step with its name.
    """

    def __init__(
        self, hand: Mouse, url: str, downloads: Path, seen: Callable[[str], None] = lambda name: None
    ) -> None:
        self.hand, self.driver, self.url, self.downloads, self.seen = hand, hand.driver, url, downloads, seen

    def picture(self, selector: str = "#sketch-image") -> np.ndarray:
        return fetch(wait(self.driver, lambda: loaded_images(self.driver, selector))[0]["src"])

    def changed(self, before: np.ndarray, selector: str = "#sketch-image") -> np.ndarray:
        """The picture, once it is another one."""
        wait(self.driver, lambda: not np.array_equal(self.picture(selector), before))
        return self.picture(selector)

    def open_page(self) -> np.ndarray:
        open_page(self.driver, self.url)
        self.hand.start()
        picture = self.picture()
        self.seen("opened")
        return picture

    def paint_a_car(self, before: np.ndarray) -> np.ndarray:
        def car() -> WebElement | None:
            options = self.driver.find_elements("css selector", "#sketch-canvas [role=option]")
            return next((each for each in options if each.find_element("css selector", ".name").text == "car"), None)

        self.hand.tap(car)
        self.hand.stroke("#sketch-canvas canvas", [(0.35, 0.8), (0.45, 0.8), (0.55, 0.8), (0.6, 0.82)])
        undo = "#sketch-canvas [data-action=undo]"
        wait(self.driver, lambda: find(self.driver, undo).is_enabled())
        picture = self.changed(before)
        self.seen("car painted")
        return picture

    def choose_look(self, name: str, before: np.ndarray) -> np.ndarray:
        wait(self.driver, lambda: self._scrolled_to("#sketch-looks"))
        wait(self.driver, lambda: len(loaded_images(self.driver, "#sketch-looks")) >= 2)
        self.seen("looks drawn")

        def look() -> WebElement | None:
            buttons = self.driver.find_elements("css selector", "#sketch-looks .look")
            return next((button for button in buttons if button.text.strip() == name), None)

        self.hand.tap(look)
        picture = self.changed(before)
        self.seen("look chosen")
        return picture

    def _scrolled_to(self, selector: str) -> bool:
        self.driver.execute_script(
            "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", find(self.driver, selector)
        )
        return True

    def open_tab(self, name: str) -> None:
        """In the row of tabs, or in the menu of those that have no room."""

        def button(selector: str) -> WebElement | None:
            buttons = self.driver.find_elements("css selector", selector)
            texts = [each.get_attribute("textContent").strip() for each in buttons]
            found = [each for each, text in zip(buttons, texts, strict=True) if text == name and each.is_displayed()]
            return found[0] if found else None

        wait(self.driver, lambda: self._scrolled_to("#tabs"))
        if button("#tabs button[role=tab]") is None:
            self.hand.tap("#tabs button[aria-label='More tabs']")
            self.hand.tap(lambda: button("#tabs .overflow-dropdown button"))
        else:
            self.hand.tap(lambda: button("#tabs button[role=tab]"))

    def take_a_photos_style(self, before: np.ndarray) -> np.ndarray:
        self.open_tab("Style")
        self.hand.tap("#style-examples button.thumbnail-item")
        self.picture("#style-picture")
        self.seen("style found")
        self.hand.tap("#style-sketch")
        picture = self.changed(before)
        wait(self.driver, lambda: find(self.driver, "#sketch-rerolls").text.startswith("Look of "))
        self.seen("style taken")
        return picture

    def re_roll_the_car(self, before: np.ndarray, point: Point) -> np.ndarray:
        self.hand.tap("#sketch-vary")
        wait(self.driver, lambda: len(loaded_images(self.driver, "#vary-gallery")) == 4)
        wait(self.driver, lambda: np.array_equal(self.picture("#vary-picture"), before))
        self.seen("varied")
        self.hand.tap("#vary-picture img", point)
        wait(self.driver, lambda: find(self.driver, "#vary-reroll").text == "Re-roll this region of car")
        self.seen("car chosen")
        self.hand.tap("#vary-reroll")
        wait(self.driver, lambda: ", then car" in find(self.driver, "#vary-history").text)
        self.seen("car re-rolled")
        picture = self.picture("#vary-picture")  # a tiny network may draw the same car again
        self.open_tab("Sketch")
        wait(self.driver, lambda: np.array_equal(self.picture("#sketch-image"), picture))
        self.seen("back in Sketch")
        return picture

    def save_and_open_again(self, picture: np.ndarray) -> Path:
        """The file of "Save all", which a page without any memory opened."""
        for file in self.downloads.glob("*.zip"):
            file.unlink()
        self.hand.tap("#sketch-download-all")
        path = downloaded(self.driver, wait(self.driver, lambda: next(self.downloads.glob("*.zip"), None)))
        self.seen("saved")
        self.open_page()
        script = "return document.querySelector('#sketch-file').parentElement.querySelector('input[type=file]')"
        wait(self.driver, lambda: self.driver.execute_script(script)).send_keys(str(path))
        wait(self.driver, lambda: np.array_equal(self.picture(), picture))
        self.seen("opened again")
        return path
