# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Texts and files of strangers: time grows with their length and no faster, memory is bounded, nothing raises."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dpsims_hf
from dpsims_hf import SemanticImageProcessor
from dpsims_hf.checkpoint_conversion.networks import _sources
from dpsims_hf.data.encodings.class_tables import read_class_table
from dpsims_hf.data.sources.layouts import SPLIT_NAMES
from dpsims_hf.demo.canvas.label_canvas import decode_runs
from dpsims_hf.demo.drawing import photo_segmentation
from dpsims_hf.demo.drawing.evaluation_request import check_seeds
from dpsims_hf.demo.drawing.scenes import file_stem
from dpsims_hf.demo.drawing.settings import read_settings
from dpsims_hf.demo.models import download as model_download
from dpsims_hf.demo.models.budget import Budget
from dpsims_hf.demo.models.card_text import (
    NO_CARD,
    first_paragraph,
    read_model_text,
    sections_on_terms,
    split_front_matter,
    without_pictures,
)
from dpsims_hf.demo.models.download import check_download
from dpsims_hf.demo.server.page import without_paths
from dpsims_hf.demo.uploads.color_tables import ClassNames, read_color_table
from dpsims_hf.demo.uploads.limits import MAX_CARD_BYTES, upload_name
from dpsims_hf.evaluation.report.card import HEADING
from dpsims_hf.image_processing_parts import _scans
from dpsims_hf.modeling_backbone_sizes import size_switches
from dpsims_hf.pipeline_loading import SNAPSHOT


pytestmark = pytest.mark.integration


SIZE = 1_000_000
SECONDS = 5.0  # for what takes a fraction of one, and took minutes where it was quadratic
# What makes backtracking patterns slow: openings without an end, long runs of what a class takes, near misses.
UNITS = [
    *(
        "![",
        "![](",
        "![x](y",
        "![a](b)",
        "](",
        "<",
        "```\n",
        "# ",
        "## Results \t",
        "---\n",
        "- a\n",
        " ",
        "\n",
        "\r\n",
    ),
    *("a", "A_", "--", ".", ".a", "/", "/a", "\\", "'/a/b", "limit", "data ", "1", "1 ", "1234567 ", ",", ", ", ";"),
    *("\xff\xda", "\xff"),
    *("*a ", '"', "{", "\u0130", "\x00", "models--", "models--a--", "/models--a--b"),
]
PROCESSOR = SemanticImageProcessor(id2label={0: "road", 1: "sky-other", 2: "car"})


def long_texts(unit: str) -> list[str]:
    """The unit over and over, alone and where something interesting begins or fails at the end."""
    run = (unit * (SIZE // len(unit) + 1))[:SIZE]
    return [f"{run}!", f"# {run}", f"---\nlicense: {run}\n---\n{run[:1000]}"]


def card(text: str) -> None:
    head, body = split_front_matter(text)
    assert all(len(value) <= 80 for value in head.values())
    body = without_pictures(body)
    assert "![" not in body
    first_paragraph(body)
    sections_on_terms(body)


def refused(function: Callable[[str], Any]) -> Callable[[str], None]:
    """One line, whatever the text is."""

    def call(text: str) -> None:
        try:
            function(text)
        except ValueError as error:
            assert len(str(error)) < 2000 and "\n" not in str(error)

    return call


LISTS = ("", "1 2 3 x", "pixel value, class\n1, x", "road:1,2,3::\n")  # how the lists of other tools begin
READERS: dict[str, Callable[[str], Any]] = {
    "card": card,
    "results in a card": HEADING.search,
    "file name": lambda text: (upload_name(text), file_stem(text)),
    "class name": lambda text: ClassNames(PROCESSOR).find(text),
    "class of a table": refused(ClassNames(PROCESSOR).require),
    "colour table": refused(lambda text: read_color_table(io.BytesIO(text[:250_000].encode()), PROCESSOR)),
    "JSON colour table": refused(lambda text: read_color_table(io.BytesIO(f"{{{text[:250_000]}".encode()), PROCESSOR)),
    "class lists": refused(lambda text: [read_class_table(f"{head}{text[:250_000]}", "x") for head in LISTS]),
    "seeds": refused(check_seeds),
    "painted map": refused(lambda text: decode_runs({"width": 2000, "height": 2000, "runs": text}, 3)),
    "error": lambda text: without_paths(text, [text[:1000]]),
    "tensor name": _sources,
    "folder of a cache": SNAPSHOT.search,
    "backbone": size_switches,
    "picture": refused(lambda text: _scans(text.encode("latin-1", "replace"))),
    "split name": lambda text: SPLIT_NAMES.get(text, text),
}
LONG_READS = ("class lists", "colour table", "error", "card")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG_READS else []) for name in READERS]
)
def test_a_megabyte_of_anything_is_read_in_linear_time(name):
    for unit in UNITS:
        for text in long_texts(unit):
            start = time.process_time()
            READERS[name](text)
            assert time.process_time() - start < SECONDS, repr(text[:40])


def test_every_pattern_of_the_package_is_known_here():
    """A new regular expression is looked at, and its reader put into the table above."""
    found = {}
    root = Path(dpsims_hf.__file__).parent
    for path in root.rglob("*.py"):
        count = sum(f"re.{call}(" in line for line in path.read_text().splitlines() for call in CALLS)
        if count:
            found[path.relative_to(root).as_posix()] = count
    demo = (
        "uploads/color_tables",
        "uploads/label_files",
        "uploads/limits",
        "uploads/archives",
        "uploads/pair_archives",
        "models/card_text",
    )
    demo += ("drawing/evaluation_request", "drawing/scenes", "server/page")
    others = {
        "evaluation/report/card.py",
        "checkpoint_conversion/networks.py",
        "data/encodings/class_tables.py",
        "data/sources/hub_loading.py",
        "data/sources/layouts.py",
        "data/sources/tool_layouts.py",
        "image_processing_parts.py",
        "training/run/verification.py",
    }
    # Names of files, and fields that are cut to some hundred characters first.
    others |= {
        "image_processing_parts.py",
        "configuration_rules.py",
        "modeling_backbone_weights.py",
        "hub/selection.py",
    }
    others |= {"modeling_backbone_sizes.py", "pipeline_loading.py"}
    # Patterns of our classes, on names of the parameters of our networks; no text of a stranger.
    others |= {"modeling_checkpoint_files.py"}
    assert found.keys() <= {*others, *(f"demo/{name}.py" for name in demo)}


CALLS = ("compile", "sub", "match", "search", "split", "findall", "fullmatch", "finditer")


# -- cards ------------------------------------------------------------------------------------------------------------

LAUGHS = "\n".join(["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))])
HEADS = {
    "broken": "license: [a\n  b: : :\n\t- x",
    "list": "- license\n- b",
    "scalar": "license",
    "number": "license: 12",
    "mapping": "license:\n  name: x",
    "null": "license:",
    "laughs": LAUGHS + "\nlicense: *a29",
    "deep": "license: " + "[" * 50_000,
    "duplicates": "license: a\nlicense: b",
    "python": "license: !!python/object/apply:os.system ['exit 1']",
    "huge": "license: " + "x" * 10_000_000,
    "NUL": "license: \0",
    "keys": "\n".join(f"k{n}: {n}" for n in range(30_000)),
}


@pytest.mark.parametrize("head", HEADS)
def test_no_front_matter_raises(head, tmp_path):
    pipe = SimpleNamespace(config={"_name_or_path": str(tmp_path)})
    (tmp_path / "README.md").write_text(f"---\n{HEADS[head]}\n---\n# A\n\nWords.\n\n## Data\n\nStreets.\n")
    start = time.process_time()
    text = read_model_text(pipe)
    assert time.process_time() - start < 1
    assert text.license is None or len(text.license) <= 80
    assert len(text.card) <= MAX_CARD_BYTES + 200


def test_what_a_license_line_may_look_like():
    for line, wanted in {
        "license: cc-by-nc-4.0": "cc-by-nc-4.0",
        "license: 'mit'  ": "mit",
        'license: "other" ': "other",
        "license: mit # free": "mit",
        "license: [mit, apache-2.0]": "mit, apache-2.0",
        "license:\n- mit\n- bsd": "mit, bsd",
        "tags:\n- license: x\nlicense: mit": "mit",
    }.items():
        assert split_front_matter(f"---\n{line}\n---\nText")[0]["license"] == wanted, line


def test_cards_that_are_no_text(tmp_path):
    pipe = SimpleNamespace(config={"_name_or_path": str(tmp_path)})
    assert read_model_text(pipe).card == NO_CARD
    (tmp_path / "README.md").write_bytes(np.random.default_rng(0).bytes(3_000_000))
    assert "are shown" in read_model_text(pipe).card
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").mkdir()
    assert read_model_text(pipe).card == NO_CARD


def test_a_card_has_no_browser_ask_a_strangers_server():
    text = without_pictures(
        "a ![own](x.png) ![far](https://e.com/p.png) ![r][s] <img src=https://e.com/q> <https://ok.org>\n"
        "```\n<kept>\n```\n![open"
    )
    assert text == (
        "a  [far](https://e.com/p.png) [r][s] &lt;img src=https://e.com/q> <https://ok.org>\n```\n<kept>\n```\n[open"
    )


# -- other files ------------------------------------------------------------------------------------------------------


def test_settings_that_are_large_or_deep(tmp_path):
    for content in ("[" * 200_000, '{"a":' * 100_000, "9" * 100_000, json.dumps({"format": "x" * 50_000_000})):
        (tmp_path / "settings.json").write_text(content)
        with pytest.raises(ValueError, match="settings.json") as caught:
            read_settings(tmp_path / "settings.json")
        assert len(str(caught.value)) < 500


MASK = """
import resource, sys
from dpsims_hf import SemanticImageProcessor
from dpsims_hf.demo.uploads.label_files import read_label_file
from dpsims_hf.demo.uploads.limits import check_photo
processor = SemanticImageProcessor(
    id2label={0: "a", 1: "b", 2: "c"}, palette=[[0, 0, 0], [200, 30, 40], [30, 200, 60]], void_label_id=0
)
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[2] == "photo":
    check_photo(sys.argv[1])
else:
    assert read_label_file(sys.argv[1], processor).label_map.shape == (4000, 6000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


SLOWER = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("blends", "RGBA", "palette", "photo")]


@pytest.mark.parametrize("kind", ["ids", *SLOWER])
def test_24_megapixels_take_less_than_400_megabytes(tmp_path, kind):
    rng, path = np.random.default_rng(0), tmp_path / "mask.png"
    ids = np.kron(rng.integers(0, 3, (40, 60), dtype=np.uint8), np.ones((100, 100), np.uint8))
    palette = np.array([[0, 0, 0], [200, 30, 40], [30, 200, 60]], dtype=np.uint8)
    if kind in ("RGBA", "blends", "photo"):
        image = np.dstack([palette[ids], np.full(ids.shape, 255, np.uint8)])
        image[:100, :, 3] = 0
        if kind == "blends":
            image[rng.random(ids.shape) < 0.008, :3] = (150, 130, 50)
        Image.fromarray(image).save(path, compress_level=1)
    else:
        image = Image.fromarray(ids if kind == "palette" else ids.astype(np.uint16))
        if kind == "palette":
            image.putpalette(palette.ravel().tolist())
        image.save(path)
    command = [sys.executable, "-c", MASK, str(path), kind]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert int(result.stdout) * 1024 < 400e6  # the largest ones took 2.8 GB


# -- downloads --------------------------------------------------------------------------------------------------------


class Hub:
    """Answers as `HfApi` does."""

    files: dict[str, int] = {}

    def model_info(self, name: str, **_: Any) -> Any:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=n, size=s) for n, s in self.files.items()])


@pytest.fixture
def hub(monkeypatch) -> type[Hub]:
    monkeypatch.setattr(model_download, "HfApi", Hub)
    monkeypatch.setattr(model_download.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(model_download, "DOWNLOADED", model_download._Downloaded())
    Hub.files = {"config.json": 1000, "model.safetensors": 50_000_000, "runs/step-1/state.bin": 10**12}
    return Hub


def test_a_models_files_are_added_up_before_they_are_fetched(hub):
    check_download("user/model", Budget())
    hub.files |= {"discriminator/model.safetensors": 5_000_000_000}
    with pytest.raises(ValueError, match="its files have 5050 MB, and this page accepts models of up to 4000 MB"):
        check_download("user/model", Budget())
    with pytest.raises(ValueError, match="segmenter 'user/model' cannot be used: its files have 5050 MB"):
        photo_segmentation.check_segmenter("user/model")


def test_configs_and_lists_of_files_have_a_length(hub):
    hub.files = {"config.json": 2_000_000}
    with pytest.raises(ValueError, match=r"its config.json has 2,000,000 bytes, and this page reads up to 1 MB"):
        check_download("user/model", Budget())
    hub.files = {f"{number}.txt": 1 for number in range(6000)}
    with pytest.raises(ValueError, match="its repository has 6,000 files"):
        check_download("user/model", Budget())


def test_all_downloads_together_have_a_limit(hub):
    small = Budget(downloaded_bytes=120_000_000)
    for name in ("user/a", "user/b", "user/a"):
        check_download(name, small)
    with pytest.raises(ValueError, match="has already downloaded 100.002 MB of models, and its limit is 120 MB"):
        check_download("user/c", small)


def test_a_folders_config_has_a_length(tmp_path):
    (tmp_path / "config.json").write_bytes(bytes(2_000_000))
    with pytest.raises(ValueError, match=r"its config.json has 2,000,000 bytes"):
        check_download(str(tmp_path), Budget())
