# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The Space as a person uses it: a headless Chromium paints, uploads, clicks, downloads and looks."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse
from zipfile import ZipFile

import numpy as np
import pytest
from page_browser import (
    assert_no_errors,
    downloaded,
    fetch,
    find,
    find_program,
    loaded_images,
    message,
    open_page,
    open_tab,
    set_width,
    wait,
)
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from space_page import avenue, chips, choose_class, choose_model, drag, drawn, shows, street_model, tool, upload

from dpsims_hf.demo import build_demo, launch_options
from dpsims_hf.demo.drawing.example_maps import CAMVID_CLASSES
from dpsims_hf.demo.image_settings import recreate
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary


pytestmark = pytest.mark.browser

SKY, BUILDING, ROAD, CAR = (list(CAMVID_CLASSES).index(name) for name in ("sky", "building", "road", "car"))
TABS = ("Sketch", "Upload", "Vary", "Style", "Photo", "Evaluate", "Python", "Palette", "Card")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return street_model()


@pytest.fixture(scope="module")
def url(model, tiny_checkpoint_dir) -> Iterator[str]:
    demo = build_demo(ModelLibrary(model, tiny_checkpoint_dir.parent))
    _, address, _ = demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
    yield address
    demo.close()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str, downloads: Path) -> Iterator[webdriver.Chrome]:
    for path in downloads.iterdir():
        path.unlink()
    open_page(driver, url)
    wait(driver, lambda: loaded_images(driver, "#sketch-image"))
    yield driver
    assert_no_errors(driver)


def save(driver: webdriver.Chrome, prefix: str, kind: str, path: Path) -> Path:
    """Click a download button; the file that arrives."""
    find(driver, f"#{prefix}-download-{kind}").click()
    return downloaded(driver, path)


# -- sketch -----------------------------------------------------------------------------------------------------------


def test_a_car_is_painted_filled_undone_and_downloaded(page, model, downloads):
    wanted = avenue(model)
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, wanted)))

    choose_class(page, "car")
    tool(page, "rectangle")
    drag(page, (40, 60), (79, 84))
    with_car = wanted.copy()
    with_car[60:85, 40:80] = CAR
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, with_car)))

    choose_class(page, "building")
    tool(page, "fill")
    drag(page, (50, 70))
    wait(page, lambda: not shows(page, "#sketch-image", drawn(model, with_car)))
    page.switch_to.active_element.send_keys(Keys.CONTROL + "z")
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, with_car)))

    label_map = save(page, "sketch", "labels", downloads / "avenue_labels.png")
    with Image.open(label_map) as stored:
        assert stored.mode == "L" and np.array_equal(np.asarray(stored), with_car)
    image = np.asarray(Image.open(save(page, "sketch", "image", downloads / "avenue_seed_0.png")))
    assert np.array_equal(image, drawn(model, with_car))
    settings = save(page, "sketch", "settings", downloads / "avenue_seed_0.json")
    assert np.array_equal(np.asarray(recreate(settings, model)[0]), image)

    with ZipFile(save(page, "sketch", "all", downloads / "avenue_seed_0.zip")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in (label_map, settings, downloads / "avenue_seed_0.png")
        }
    assert not page.find_element(By.CSS_SELECTOR, "#sketch-download-files").is_displayed()

    # the downloaded map, opened again, is the identical map
    find(page, "#sketch-canvas button[data-action=clear]").click()
    wait(page, lambda: not shows(page, "#sketch-image", image))
    upload(page, "#sketch-start-row", label_map)
    wait(page, lambda: shows(page, "#sketch-image", image))
    again = save(page, "sketch", "labels", downloads / "avenue_labels_labels.png")
    assert np.array_equal(np.asarray(Image.open(again)), with_car)


def test_a_seed_that_is_none_is_refused_in_words(page):
    field = find(page, "#sketch-seed input")
    field.send_keys(Keys.CONTROL + "a")
    field.send_keys("3.7", Keys.ENTER)
    assert message(page).startswith("seed 3.7 is out of range: legal are whole numbers in 0..")


def test_the_picture_follows_the_seed_and_the_example(page, model):
    find(page, "#sketch-random-seed").click()
    value = wait(page, lambda: (v := find(page, "#sketch-seed input").get_attribute("value")) != "0" and v)
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, avenue(model), int(value))))
    page.find_elements(By.CSS_SELECTOR, "#sketch-start button.thumbnail-item")[-1].click()
    empty = np.zeros((96, 128), dtype=np.int64)
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, empty, int(value))))


def test_without_live_mode_the_picture_waits_for_the_button(page, model):
    find(page, "#sketch-live input").click()
    find(page, "#sketch-go")
    choose_class(page, "road")
    tool(page, "rectangle")
    drag(page, (0, 0), (127, 47))
    half = avenue(model)
    half[:48] = ROAD
    wait(page, lambda: find(page, "#sketch-canvas .label-canvas").get_attribute("data-undo") == "1")
    assert shows(page, "#sketch-image", drawn(model, avenue(model)))
    find(page, "#sketch-go").click()
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, half)))


def test_a_sketch_is_painted_by_keyboard_alone(page, model, downloads):
    search = find(page, "#sketch-canvas .search")
    search.send_keys("car", Keys.ENTER)
    canvas = find(page, "#sketch-canvas canvas")
    page.execute_script("arguments[0].focus()", canvas)
    keys = page.switch_to.active_element
    keys.send_keys("f", Keys.ARROW_RIGHT, Keys.ENTER)
    wait(page, lambda: not shows(page, "#sketch-image", drawn(model, avenue(model))))
    saved = find(page, "#sketch-download-labels")
    page.execute_script("arguments[0].focus()", saved)
    saved.send_keys(Keys.ENTER)
    label_map = np.asarray(Image.open(downloaded(page, downloads / "avenue_labels.png")))
    assert (label_map == CAR).sum() > (avenue(model) == CAR).sum()


# -- upload -----------------------------------------------------------------------------------------------------------


def test_an_uploaded_mask_is_decoded_drawn_edited_and_varied(page, model, tmp_path, downloads):
    label_map = np.zeros((192, 256), dtype=np.uint16)
    label_map[96:] = ROAD
    label_map[110:150, 60:140] = CAR
    Image.fromarray(label_map).save(tmp_path / "own.png")
    open_tab(page, "Upload")
    upload(page, "#upload-file", tmp_path / "own.png")

    wait(page, lambda: list(chips(page)) == ["sky", "road", "car"])
    assert chips(page)["sky"] == "50.0 %"
    shown = wait(page, lambda: loaded_images(page, "#upload-label-map"))[0]
    assert set(map(tuple, fetch(shown["src"]).reshape(-1, 3))) == {
        CAMVID_CLASSES[name] for name in ("sky", "road", "car")
    }
    note = wait(page, lambda: find(page, "#upload-size-note").text)
    assert "256 × 192 pixels, used at 128 × 96" in note and "16-bit index PNG" in note
    wanted = drawn(model, label_map[::2, ::2].astype(np.int64))
    wait(page, lambda: shows(page, "#upload-image", wanted))
    saved = save(page, "upload", "labels", downloads / "own_labels.png")
    assert np.array_equal(np.asarray(Image.open(saved)), label_map[::2, ::2])

    find(page, "#upload-edit").click()
    wait(page, lambda: find(page, "#sketch-image").is_displayed() and shows(page, "#sketch-image", wanted))
    open_tab(page, "Upload")
    find(page, "#upload-vary").click()
    wait(page, lambda: loaded_images(page, "#vary-map"))


@pytest.mark.slow
def test_an_image_in_other_colours_is_translated_by_name(page, tmp_path):
    colors = np.zeros((96, 128, 3), dtype=np.uint8)
    colors[:48], colors[48:], colors[60:80, 30:60] = (70, 130, 180), (128, 64, 128), (0, 60, 100)  # Cityscapes
    Image.fromarray(colors).save(tmp_path / "city.png")
    open_tab(page, "Upload")
    upload(page, "#upload-file", tmp_path / "city.png")
    assert "city.png" in message(page)
    find(page, "#upload-other button").click()
    space = find(page, "#upload-space input")
    space.click()
    space.send_keys(Keys.CONTROL + "a")
    space.send_keys("cityscapes", Keys.ENTER)
    wait(page, lambda: {"sky", "road"} <= set(chips(page)))
    assert "bus" in find(page, "#upload-unmatched").text


def test_a_bad_file_shows_one_line_and_no_stale_picture(page, tmp_path):
    open_tab(page, "Upload")
    page.find_elements(By.CSS_SELECTOR, "#upload-examples button.thumbnail-item")[1].click()
    wait(page, lambda: loaded_images(page, "#upload-image"))
    find(page, "#upload-file button[aria-label=Clear]").click()
    wait(page, lambda: not chips(page))
    Image.new("RGB", (128, 96), CAMVID_CLASSES["road"]).save(tmp_path / "photo.jpg")
    upload(page, "#upload-file", tmp_path / "photo.jpg")
    text = message(page)
    assert text.startswith("photo.jpg: a JPEG") and "PNG" in text and "\n" not in text
    wait(page, lambda: not chips(page) and not loaded_images(page, "#upload-image"))


# -- the page as a whole ----------------------------------------------------------------------------------------------


def test_two_visitors_do_not_see_each_other(page, model, url):
    choose_class(page, "road")
    find(page, "#sketch-canvas button[data-action=clear]").click()
    mine = drawn(model, np.full((96, 128), ROAD))
    wait(page, lambda: shows(page, "#sketch-image", mine))
    first = page.current_window_handle
    page.switch_to.new_window("tab")
    set_width(page, 1280)
    page.get(url)
    wait(page, lambda: shows(page, "#sketch-image", drawn(model, avenue(model))))
    page.close()
    page.switch_to.window(first)
    find(page, "#sketch-vary").click()
    scene = wait(page, lambda: loaded_images(page, "#vary-map"))[0]
    assert len(wait(page, lambda: len(found := loaded_images(page, "#vary-gallery")) == 4 and found)) == 4
    assert set(map(tuple, fetch(scene["src"]).reshape(-1, 3))) == {CAMVID_CLASSES["road"]}


def test_another_model_brings_its_classes_and_a_wrong_name_leaves_all_as_it_is(page, tiny_checkpoint_dir):
    choice = find(page, "#model input")
    choose_model(page, "/nowhere")
    assert "'/nowhere': no such folder" in message(page)
    wait(page, lambda: choice.get_attribute("value") == "drawn")

    choose_model(page, f"{tiny_checkpoint_dir.parent.name}/tiny")
    images = lambda: loaded_images(page, "#sketch-image")  # noqa: E731
    wait(page, lambda: images() and (images()[0]["width"], images()[0]["height"]) == (56, 40))  # the drawing, smaller
    assert "fence" in find(page, "#sketch-canvas .foreign").text
    assert len(page.find_elements(By.CSS_SELECTOR, "#sketch-canvas [role=option]")) == 5
    open_tab(page, "Card")
    wait(page, lambda: "5 classes" in find(page, "#facts").text and "parameters" in find(page, "#facts").text)


def test_the_palette_can_be_downloaded(page, downloads):
    open_tab(page, "Palette")
    rows = wait(page, lambda: page.find_elements(By.CSS_SELECTOR, "table.palette tbody tr"))
    wait(page, lambda: rows[0].text)
    assert [row.text.split()[1] for row in rows] == [*CAMVID_CLASSES, "void"]
    for suffix in ("json", "png", "gpl"):
        find(page, f"#palette-{suffix}").click()
        downloaded(page, downloads / f"palette.{suffix}")
    content = json.loads((downloads / "palette.json").read_text())
    assert [tuple(entry["color"]) for entry in content["classes"][:11]] == list(CAMVID_CLASSES.values())


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_of_the_page(page, width):
    set_width(page, width)
    for name in TABS:
        open_tab(page, name)
        wait(page, lambda: page.execute_script("return document.readyState") == "complete")
        inner, outer = page.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert inner <= outer, f"{name} is {inner} pixels wide"


def test_the_page_asks_nobody_outside(page, url):
    for name in TABS:
        open_tab(page, name)
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
