# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tabs Photo and Evaluate in a headless Chromium: upload, paint, look, measure, download."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse
from zipfile import ZipFile

import gradio as gr
import numpy as np
import pytest
from drawn_model import drawn_model
from page_browser import (
    assert_no_errors,
    downloaded,
    fetch,
    find,
    loaded_images,
    message,
    open_page,
    open_tab,
    set_width,
    wait,
)
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from dpsims_hf.data.synthetic import draw_scene
from dpsims_hf.demo import launch_options
from dpsims_hf.demo.drawing.photo_segmentation import propose
from dpsims_hf.demo.drawing.settings import read_settings
from dpsims_hf.demo.models.library import LoadedModel, ModelLibrary
from dpsims_hf.demo.server.events import HEAVY
from dpsims_hf.demo.tabs.evaluate import evaluate_tab
from dpsims_hf.demo.tabs.photo import photo_tab
from dpsims_hf.demo.widgets.session import new_session


pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return drawn_model()


@pytest.fixture(scope="module")
def url(model, tiny_checkpoint_dir) -> Iterator[str]:
    library = ModelLibrary(model, tiny_checkpoint_dir.parent)
    with gr.Blocks(analytics_enabled=False) as demo:
        session = new_session()
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Photo"):
                photo_tab(library, session)
            with gr.Tab("Evaluate"):
                evaluate_tab(library, session)
        other = gr.Button("Other model", elem_id="other-model")
        other.click(lambda: library.get(library.names[-1]).name, None, session.model, **HEAVY)
    _, address, _ = demo.queue().launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options()
    )
    yield address
    demo.close()


@pytest.fixture
def page(driver: webdriver.Chrome, url: str) -> Iterator[webdriver.Chrome]:
    open_page(driver, url)
    find(driver, "#photo-input input[type=file]")
    yield driver
    assert_no_errors(driver)


@pytest.fixture(scope="module")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "My street.png"
    Image.fromarray(draw_scene((64, 128), 0)[0]).save(path)
    return path


def upload_photo(driver: webdriver.Chrome, path: Path) -> list[np.ndarray]:
    """Upload; photo and picture under the slider."""
    find(driver, "#photo-input input[type=file]").send_keys(str(path))
    return compared(driver)


def compared(driver: webdriver.Chrome) -> list[np.ndarray]:
    images = wait(driver, lambda: len(found := loaded_images(driver, "#photo-result")) == 2 and found)
    return [fetch(image["src"]) for image in images]


def shows(driver: webdriver.Chrome, wanted: np.ndarray) -> bool:
    """Whether one of the two pictures under the slider is exactly this one."""
    return any(np.array_equal(fetch(i["src"]), wanted) for i in loaded_images(driver, "#photo-result"))


def drawn(model: LoadedModel, label_map: np.ndarray, seed: int = 0) -> np.ndarray:
    height, width = label_map.shape
    return np.asarray(model.pipe(label_map, seed, 1, size={"height": height, "width": width}).images[0])


# -- photo ------------------------------------------------------------------------------------------------------------


def test_a_photo_is_labelled_edited_and_drawn_again(page, model, photo_file, downloads):
    images = upload_photo(page, photo_file)
    proposal = propose(model, Image.open(photo_file))
    expected = [np.asarray(proposal.photo), drawn(model, proposal.label_map)]
    for image in expected:
        assert any(np.array_equal(image, found) for found in images)
    assert find(page, "#photo-note").text.startswith("128 × 64 pixels, used at 64 × 32.")
    names = [chip.text.split(" ")[0] for chip in page.find_elements(By.CSS_SELECTOR, "#photo-legend .chip b")]
    assert names == [entry.name for entry in model.processor.legend(proposal.label_map)]
    assert find(page, "#photo-canvas img.photo").get_attribute("src").startswith("data:image/png;base64,")

    find(page, "#photo-canvas .search").send_keys("car\n")
    find(page, "#photo-canvas button[data-tool=rectangle]").click()
    canvas = find(page, "#photo-canvas canvas")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    ActionChains(page).move_to_element(canvas).click_and_hold().move_by_offset(60, 40).release().perform()
    wait(page, lambda: any("car" in c.text for c in page.find_elements(By.CSS_SELECTOR, "#photo-legend .chip")))
    wait(page, lambda: not shows(page, expected[1]))

    assert not page.find_element(By.CSS_SELECTOR, "#photo-download-files").is_displayed()
    find(page, "#photo-download-settings").click()
    scene, variants, _ = read_settings(downloaded(page, downloads / "My_street_seed_0.json"))
    car = model.labels.index("car")
    changed = scene.label_map != proposal.label_map
    assert changed.any() and (scene.label_map[changed] == car).all() and scene.name == "My_street"
    assert shows(page, drawn(model, scene.label_map, variants[0].seed))

    find(page, "#photo-random-seed").click()
    seed = int(wait(page, lambda: (v := find(page, "#photo-seed input").get_attribute("value")) != "0" and v))
    wait(page, lambda: shows(page, drawn(model, scene.label_map, seed)))


def test_errors_are_one_line(page, tmp_path):
    find(page, "#photo-label").click()
    assert message(page) == "no photo yet: upload one first"
    page.refresh()
    Image.new("RGB", (8, 8)).save(tmp_path / "moving.gif")
    (tmp_path / "moving.gif").rename(tmp_path / "moving.png")
    find(page, "#photo-input input[type=file]").send_keys(str(tmp_path / "moving.png"))
    assert message(page).startswith("moving.png: a GIF file; photos are read from JPEG, PNG or WebP")


@pytest.mark.slow
def test_another_model_keeps_photo_and_map(page, photo_file):
    upload_photo(page, photo_file)
    find(page, "#other-model").click()
    wait(page, lambda: len(page.find_elements(By.CSS_SELECTOR, "#photo-canvas [role=option]")) == 5)
    assert "No match in this model for" in find(page, "#photo-canvas .foreign").text
    assert len(compared(page)) == 2
    find(page, "#photo-label").click()
    assert message(page).endswith("/tiny has no discriminator: choose another segmenter or model")


# -- evaluate ---------------------------------------------------------------------------------------------------------


def measure(driver: webdriver.Chrome) -> str:
    """Click, wait, return the table's text."""
    find(driver, "#evaluate-run").click()
    wait(driver, lambda: driver.find_elements(By.CSS_SELECTOR, "#evaluate-report table.values"))
    return find(driver, "#evaluate-report").text


def test_the_drawn_examples_are_measured(page, url, downloads):
    open_tab(page, "Evaluate")
    text = measure(page)
    assert (
        "miou_discriminator" in text and "ms_ssim_4_images_2_scales" in text and "mIoU has no upper reference" in text
    )
    assert len(page.find_elements(By.CSS_SELECTOR, "#evaluate-charts section")) == 4
    page.execute_script("document.querySelector('#evaluate-pictures').scrollIntoView()")
    wait(page, lambda: loaded_images(page, "#evaluate-pictures"))
    find(page, "#evaluate-download-results").click()
    results = json.loads(downloaded(page, downloads / "drawn_examples_results.json").read_text())
    assert [row["name"] for row in results["label_maps"]] == ["avenue", "parked_cars", "suburb"]
    find(page, "#evaluate-download-report").click()
    with ZipFile(downloaded(page, downloads / "drawn_examples_report.zip")) as report:
        assert "report.html" in report.namelist()
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    hosts = {urlparse(address).netloc for address in asked if address.startswith(("http", "ws"))}
    assert hosts <= {urlparse(url).netloc, ""}


@pytest.mark.slow
def test_uploaded_pairs_are_measured(page, tmp_path):
    photo, labels, _ = draw_scene((32, 64), 1)
    with ZipFile(tmp_path / "two.zip", "w") as archive:
        for kind, values in (("images", photo), ("labels", labels)):
            Image.fromarray(values).save(tmp_path / "one.png")
            for name in ("a", "b"):
                archive.write(tmp_path / "one.png", f"{kind}/{name}.png")
    open_tab(page, "Evaluate")
    page.find_elements(By.CSS_SELECTOR, "#evaluate-source input")[1].click()
    find(page, "#evaluate-archive input[type=file]").send_keys(str(tmp_path / "two.zip"))
    find(page, "#evaluate-archive .file-preview")
    text = measure(page)
    assert "fid_discriminator" in text and "real photos" in text and "2 label maps of two.zip (uploaded)" in text
    page.find_elements(By.CSS_SELECTOR, "#evaluate-source input")[0].click()
    find(page, "#other-model").click()
    wait(page, lambda: "The numbers appear here" in find(page, "#evaluate-report").text)


def test_a_bad_archive_is_one_line(page, tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"PK no zip")
    open_tab(page, "Evaluate")
    page.find_elements(By.CSS_SELECTOR, "#evaluate-source input")[1].click()
    find(page, "#evaluate-run").click()
    assert message(page).startswith("no zip file yet: upload photos with label maps")
    page.refresh()
    open_tab(page, "Evaluate")
    page.find_elements(By.CSS_SELECTOR, "#evaluate-source input")[1].click()
    find(page, "#evaluate-archive input[type=file]").send_keys(str(tmp_path / "bad.zip"))
    find(page, "#evaluate-archive .file-preview")
    find(page, "#evaluate-run").click()
    assert message(page).startswith("bad.zip: ")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page(page, photo_file, width):
    set_width(page, width)
    upload_photo(page, photo_file)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.execute_script(wide) <= 0
    open_tab(page, "Evaluate")
    measure(page)
    assert page.execute_script(wide) <= 0
