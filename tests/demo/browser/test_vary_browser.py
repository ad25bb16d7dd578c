# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Vary tab as a person uses it: seeds, locks, re-rolls of what is clicked, frames, videos, two models."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from page_browser import assert_no_errors, downloaded, fetch, find, loaded_images, message, open_page, set_width, wait
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dpsims_hf import OASISGenerator, OASISGeneratorConfig
from dpsims_hf.demo.app_builder import launch_options
from dpsims_hf.demo.drawing.scenes import Reroll, Scene, Variant, consecutive, render
from dpsims_hf.demo.image_settings import recreate
from dpsims_hf.demo.models.library import ModelLibrary, load_model
from dpsims_hf.demo.tabs.vary import vary_tab
from dpsims_hf.demo.widgets.session import new_session
from dpsims_hf.hub import save_model_folder


pytestmark = pytest.mark.browser

HEIGHT, WIDTH = 32, 64


@pytest.fixture(scope="module")
def library(tiny_checkpoint_dir, tmp_path_factory) -> ModelLibrary:
    """A DP-SIMS model, an OASIS model of the same classes, and one whose classes have other names."""
    model = load_model("checkpoints/tiny", str(tiny_checkpoint_dir))
    folder = tmp_path_factory.mktemp("models") / "checkpoints"
    shutil.copytree(tiny_checkpoint_dir, folder / "tiny")
    names = {"second": model.labels, "foreign": tuple(f"{name} abroad" for name in model.labels)}
    for name, labels in names.items():
        id2label = dict(enumerate(labels))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            config = OASISGeneratorConfig.from_preset(
                "tiny", num_labels=None, id2label=id2label, image_size=(HEIGHT, WIDTH)
            )
            generator = OASISGenerator(config).eval()
        processor = type(model.processor)(**{**model.processor.to_dict(), "id2label": id2label})
        save_model_folder(folder / name, generator, processor)
    return ModelLibrary(model, folder)


@pytest.fixture(scope="module")
def scene(library) -> Scene:
    """Class 0, with two separate blocks of class 1 and a strip of class 2."""
    label_map = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
    label_map[4:12, 4:20] = 1
    label_map[4:12, 40:60] = 1
    label_map[24:] = 2
    return Scene("yard", label_map, library.default.labels)


def build_page(library: ModelLibrary, scene: Scene) -> gr.Blocks:
    """The tab, and buttons that do what other tabs do."""
    plain = Scene("plain", np.zeros_like(scene.label_map), scene.labels)
    with gr.Blocks(analytics_enabled=False) as demo:
        session = new_session()
        with gr.Tabs(selected="other") as tabs:
            with gr.Tab("Other", id="other"):
                buttons = {name: gr.Button(name, elem_id=name) for name in ("yard", "plain", "second", "first")}
            with gr.Tab("Vary", id="vary") as page:
                vary = vary_tab(library, session)
        for name, value in (("yard", scene), ("plain", plain)):
            buttons[name].click(lambda value=value: (value, gr.Tabs(selected="vary")), None, [session.scene, tabs])
        for name, model in (("second", "checkpoints/second"), ("first", "")):
            buttons[name].click(lambda model=model: model, None, session.model)
        vary.opened.after(page.select)
    return demo


@pytest.fixture(scope="module")
def url(library, scene) -> Iterator[str]:
    demo = build_page(library, scene).queue()
    _, address, _ = demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
    yield address
    demo.close()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str, downloads: Path) -> Iterator[webdriver.Chrome]:
    for path in downloads.iterdir():
        path.unlink()
    open_page(driver, url)
    find(driver, "#yard")
    yield driver
    assert_no_errors(driver)


def click(driver: webdriver.Chrome, selector: str, number: int = 0) -> None:
    """Click when the element can be used; a page that is being laid out anew may move it meanwhile."""

    def do() -> bool:
        element = driver.find_elements(By.CSS_SELECTOR, selector)[number]
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        return True

    wait(driver, lambda: len(driver.find_elements(By.CSS_SELECTOR, selector)) > number)
    wait(driver, lambda: driver.find_elements(By.CSS_SELECTOR, selector)[number].is_enabled())
    do()


def tab(driver: webdriver.Chrome, name: str, inside: str = "") -> None:
    buttons = driver.find_elements(By.CSS_SELECTOR, f"{inside} button[role=tab]")
    button = next(button for button in buttons if button.text == name)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def make(driver: webdriver.Chrome, scene: str = "yard") -> None:
    """Open a scene and make its first images."""
    click(driver, f"#{scene}")
    click(driver, "#vary-make")
    wait(driver, lambda: len(loaded_images(driver, "#vary-gallery")) == 4 and history(driver))


def captions(driver: webdriver.Chrome) -> list[str]:
    return [element.text for element in driver.find_elements(By.CSS_SELECTOR, "#vary-gallery .caption-label")]


def history(driver: webdriver.Chrome) -> str:
    return find(driver, "#vary-history").text


def picture(driver: webdriver.Chrome) -> np.ndarray:
    return fetch(wait(driver, lambda: loaded_images(driver, "#vary-picture"))[0]["src"])


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def click_pixel(driver: webdriver.Chrome, column: int, row: int) -> None:
    """Click the middle of a pixel of the chosen image, which is shown much larger."""
    element = find(driver, "#vary-picture img")
    box = driver.execute_script(
        "arguments[0].scrollIntoView({block: 'center'}); const b = arguments[0].getBoundingClientRect();"
        "return [b.width, b.height]",
        element,
    )
    assert box[0] > 5 * WIDTH  # else the test would not see a mistake of the scale
    x, y = (column + 0.5) / WIDTH - 0.5, (row + 0.5) / HEIGHT - 0.5
    ActionChains(driver).move_to_element_with_offset(element, round(x * box[0]), round(y * box[1])).click().perform()


def take(driver: webdriver.Chrome, column: int, row: int) -> str:
    """Click a pixel; returns what the page says about the part."""
    before = find(driver, "#vary-part").text
    click_pixel(driver, column, row)
    return wait(driver, lambda: (text := find(driver, "#vary-part").text) != before and text)


def walk(driver: webdriver.Chrome) -> None:
    """Make eight frames; the browser loads pictures when they come into sight, and the page still moves."""
    click(driver, "#vary-walk")

    def frames() -> int:
        driver.execute_script("document.querySelectorAll('#vary-frames img').forEach((i) => i.scrollIntoView())")
        return len({image["src"] for image in loaded_images(driver, "#vary-frames")})

    wait(driver, lambda: frames() == 8)


@pytest.mark.slow
def test_without_a_scene_the_tab_says_what_to_do(page):
    tab(page, "Vary")
    assert "Paint one in Sketch" in wait(page, lambda: find(page, "#vary-map-note").text)
    assert not find(page, "#vary-make").is_enabled()


def test_a_grid_shows_what_the_pipeline_draws_and_another_scene_clears_it(page, library, scene):
    make(page)
    shown = fetch(loaded_images(page, "#vary-map")[0]["src"])
    assert np.array_equal(shown, pixels(library.default.processor.colorize(scene.label_map)))
    expected = render(library.default, scene, consecutive(0, 4))
    for image, wanted in zip(loaded_images(page, "#vary-gallery"), expected, strict=True):
        assert np.array_equal(fetch(image["src"]), pixels(wanted))
    assert captions(page) == ["seed 0", "seed 1", "seed 2", "seed 3"]
    click(page, "#vary-gallery button.thumbnail-item", 2)
    wait(page, lambda: history(page) == "seed 2")
    assert np.array_equal(picture(page), pixels(expected[2]))

    tab(page, "Other")
    tab(page, "Vary")  # the same scene: everything stays
    assert len(wait(page, lambda: loaded_images(page, "#vary-gallery"))) == 4
    tab(page, "Other")
    click(page, "#plain")
    wait(page, lambda: find(page, "#vary-map-note").text.startswith("plain"))
    wait(page, lambda: not loaded_images(page, "#vary-gallery"))
    assert not page.find_elements(By.CSS_SELECTOR, "#vary-picture img")


@pytest.mark.slow
def test_another_model_clears_the_images_of_the_first(page):
    make(page)
    tab(page, "Other")
    click(page, "#second")
    tab(page, "Vary")
    wait(page, lambda: not loaded_images(page, "#vary-gallery"))
    assert find(page, "#vary-map-note").text.startswith("yard")


def test_locked_images_stay_when_the_rest_gets_new_seeds(page):
    make(page)
    click(page, "#vary-gallery button.thumbnail-item", 1)
    wait(page, lambda: find(page, "#vary-lock").text == "Lock seed 1")
    kept = fetch(loaded_images(page, "#vary-gallery")[1]["src"])
    click(page, "#vary-lock")
    wait(page, lambda: captions(page)[1] == "🔒 locked · seed 1")
    click(page, "#vary-fresh")
    wait(page, lambda: captions(page)[0] != "seed 0" and len(loaded_images(page, "#vary-gallery")) == 4)
    new = captions(page)
    assert new[1] == "🔒 locked · seed 1" and len(set(new)) == 4 and not {"seed 0", "seed 2", "seed 3"} & set(new)
    assert np.array_equal(fetch(loaded_images(page, "#vary-gallery")[1]["src"]), kept)


def test_a_click_takes_the_region_under_it_and_a_re_roll_changes_it(page, library, scene):
    make(page)
    region = np.zeros((HEIGHT, WIDTH), dtype=bool)
    region[4:12, 40:60] = True
    expected = f"Part: this region of {scene.labels[1]}, {100 * region.mean():.1f} % of the picture."
    for column, row in ((40, 4), (59, 11)):  # two opposite corners of the block
        assert take(page, column, row) == expected
        take(page, 2, 30)
    take(page, 60, 11)  # one pixel beside it
    assert scene.labels[0] in find(page, "#vary-part").text
    take(page, 59, 4)
    before = pixels(render(library.default, scene, [Variant(0)])[0])
    wait(page, lambda: np.array_equal(picture(page)[region], before[region]))
    assert picture(page)[~region].sum() < 0.5 * before[~region].sum()  # the rest is dimmed

    click(page, "#vary-reroll")
    found = wait(page, lambda: re.search(r"at row 4, column 59 with seed (\d+)$", history(page)))
    after = pixels(render(library.default, scene, [Variant(0, (Reroll(int(found[1]), point=(4, 59)),))])[0])
    assert not np.array_equal(before, after)
    assert np.array_equal(picture(page), after)
    sides = wait(page, lambda: (sides := loaded_images(page, "#vary-before-after")) and len(sides) == 2 and sides)
    assert {fetch(side["src"]).tobytes() for side in sides} == {before.tobytes(), after.tobytes()}
    assert captions(page)[0] == f"seed 0 · {scene.labels[1]}"

    click(page, "#vary-undo")
    wait(page, lambda: history(page) == "seed 0")
    assert np.array_equal(picture(page), before) and captions(page)[0] == "seed 0"
    wait(page, lambda: not loaded_images(page, "#vary-before-after"))


@pytest.mark.slow
def test_a_class_is_re_rolled_with_a_seed_of_ones_own_and_downloaded(page, library, scene, downloads):
    make(page)
    box = find(page, "#vary-class input")
    box.click()
    box.send_keys(scene.labels[1], Keys.ENTER)
    wait(page, lambda: find(page, "#vary-reroll").text == f"Re-roll all of {scene.labels[1]}")
    find(page, "#vary-reroll-seed textarea, #vary-reroll-seed input").send_keys("4x")
    click(page, "#vary-reroll")
    assert message(page).startswith("seed '4x' is not a whole number")
    find(page, "#vary-reroll-seed textarea, #vary-reroll-seed input").send_keys(Keys.BACKSPACE, "2")
    click(page, "#vary-reroll")
    wait(page, lambda: history(page) == f"seed 0, then {scene.labels[1]} with seed 42")
    variant = Variant(0, (Reroll(42, label=scene.labels[1]),))
    expected = pixels(render(library.default, scene, [variant])[0])
    for kind in ("image", "labels", "settings"):
        click(page, f"#vary-download-{kind}")
    settings = wait(page, lambda: list(downloads.glob("yard_seed_0_*.json")))[0]
    assert np.array_equal(pixels(recreate(downloaded(page, settings), library.default)[0]), expected)
    assert json.loads(settings.read_text())["images"][0]["rerolls"] == [{"seed": 42, "label": scene.labels[1]}]
    with Image.open(downloaded(page, settings.with_suffix(".png"))) as image:
        assert np.array_equal(pixels(image), expected)
    with Image.open(downloaded(page, downloads / "yard_labels.png")) as image:
        assert np.array_equal(pixels(image), scene.label_map)


@pytest.mark.slow
def test_frames_are_scrubbed_and_videos_play(page, library, scene, downloads):
    make(page)
    tab(page, "Two seeds", "#vary-tools")
    walk(page)
    size = {"height": HEIGHT, "width": WIDTH}
    frames = library.default.pipe.interpolate(scene.label_map, seed_from=0, seed_to=3, steps=8, size=size).images
    shown = "#vary-frames .media-button"
    assert np.array_equal(fetch(loaded_images(page, shown)[0]["src"]), pixels(frames[0]))

    # the slider works in the browser alone
    page.get_log("performance")
    slider = find(page, "#vary-scrub input[type=range]")
    script = "arguments[0].value = 6; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    page.execute_script(script, slider)
    wait(page, lambda: "frame_06" in loaded_images(page, shown)[0]["src"])
    assert np.array_equal(fetch(loaded_images(page, shown)[0]["src"]), pixels(frames[5]))
    sent = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    requests = [m["params"]["request"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert not [r["url"] for r in requests if r["method"] == "POST" and "queue/join" in r["url"]]

    script = "const v = arguments[0]; return [v.readyState, v.duration, v.videoWidth, v.videoHeight]"
    video = find(page, "#vary-video video")
    state = wait(page, lambda: (state := page.execute_script(script, video))[0] >= 2 and state)
    assert state[1:] == [pytest.approx(14 / 8), WIDTH, HEIGHT]
    page.execute_script("arguments[0].muted = true; arguments[0].play()", video)
    wait(page, lambda: page.execute_script("return arguments[0].currentTime > 0.3", video))
    for kind in ("gif", "mp4"):
        click(page, f"#vary-download-{kind}")
        assert downloaded(page, downloads / f"yard_seed_0_to_3.{kind}").stat().st_size > 500
    with Image.open(downloads / "yard_seed_0_to_3.gif") as gif:
        assert gif.n_frames == 14


@pytest.mark.slow
def test_two_models_stand_side_by_side_or_say_why_not(page, library, scene):
    make(page)
    tab(page, "Two models", "#vary-tools")
    box = find(page, "#vary-other input")
    box.click()
    box.send_keys("checkpoints/second", Keys.ENTER)
    click(page, "#vary-compare")
    sides = wait(page, lambda: (sides := loaded_images(page, "#vary-compare-slider")) and len(sides) == 2 and sides)
    models = (library.default, library.get("checkpoints/second"))
    expected = {pixels(render(model, scene, [Variant(0)])[0]).tobytes() for model in models}
    assert {fetch(side["src"]).tobytes() for side in sides} == expected
    note = wait(page, lambda: find(page, "#vary-compare-note").text)
    for fact in ("checkpoints/tiny", "checkpoints/second", "DP-SIMS", "OASIS", " ms", "parameters"):
        assert fact in note

    box = find(page, "#vary-other input")
    box.click()
    box.send_keys(Keys.CONTROL, "a", Keys.NULL, "checkpoints/foreign", Keys.ENTER)
    click(page, "#vary-compare")
    text = message(page)
    assert text.startswith("model 'checkpoints/foreign' has no class") and repr(scene.labels[0]) in text


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page(page, width):
    set_width(page, width, 844)
    make(page)
    take(page, 50, 8)
    click(page, "#vary-reroll")
    wait(page, lambda: loaded_images(page, "#vary-before-after"))
    for name in ("One part", "Two seeds", "Two models"):
        tab(page, name, "#vary-tools")
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
    tab(page, "Two seeds", "#vary-tools")
    walk(page)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
