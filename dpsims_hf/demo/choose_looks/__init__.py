# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Chooses the looks of a model by numbers and writes them beside its weights, as looks.json, for the page.

    python -m dpsims_hf.demo.choose_looks CHECKPOINT [--label_maps DIR] [--seeds 200] [--scenes 2] [--sheet FILE.png]

Draws each seed on some label maps and measures the light of sky, ground and walls. Names whose meaning no seed has are
left out, and so are seeds whose images the model's own discriminator reads worse than others. The same weights give
the same file.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..drawing.example_maps import example_paths
from ..drawing.look_previews import smaller_scene
from ..drawing.scenes import Scene, Variant, render
from ..models.library import LoadedModel, load_model
from ..models.model_looks import LOOKS_FILE, ModelLook, looks_file
from ..uploads.label_files import read_label_file
from .measures import FIRST, KINDS, Light, apart, light, mean_light, ranked


REFERENCE = 8  # seeds whose images say how well the discriminator reads this model
WORSE = 0.03  # share of pixels that a look may lose against their median
TRIES = 6  # seeds that are looked at for a name


class LookChooser:
    """Measures the seeds of a model.

    Args:
        model: whose seeds they are.
        scenes: that are drawn.
        told: gets a line on what goes on.
    """

    def __init__(self, model: LoadedModel, scenes: Sequence[Scene], told: Callable[[str], None] = print) -> None:
        self.model, self.scenes, self.told = model, scenes, told
        # The light is the same as at full size, in a third of the time.
        self._small = [smaller_scene(model, scene) for scene in scenes]
        self._can_label = _can_label(model)

    def choose(self, seeds: int) -> list[ModelLook]:
        """One look for each name that one of the seeds 0 .. seeds - 1 deserves.

        Raises:
            ValueError: there is none.
        """
        lights = []
        for seed in range(seeds):
            lights.append(self._light(seed))
            if (seed + 1) % 20 == 0:
                self.told(f"measured {seed + 1} of {seeds} seeds")
        places, least, chosen = ranked(lights), self._least_agreement(seeds), {}
        for name in FIRST:
            taken = [lights[seed] for seed in chosen.values()]
            fresh = [seed for seed in places[name] if seed not in chosen.values() and apart(lights[seed], taken)]
            found = next((seed for seed in fresh[:TRIES] if self._agreement(seed) >= least), None)
            if found is None:
                self.told(f"{name}: no seed")
                continue
            chosen[name] = found
            self.told(f"{name}: seed {found}, {_words(lights[found])}")
        if not chosen:
            raise ValueError("no seed differs from the others by its light: this model has no looks")
        return [ModelLook(kind.name, chosen[kind.name]) for kind in KINDS if kind.name in chosen]

    def _light(self, seed: int) -> Light:
        return mean_light(light(self.image(scene, seed), scene.label_map, scene.labels) for scene in self._small)

    def image(self, scene: Scene, seed: int) -> np.ndarray:
        """(height, width, 3) uint8, computed in float32: the same on every machine but for the last bits."""
        return np.asarray(render(self.model, scene, [Variant(seed)], dtype="float32")[0])

    def _least_agreement(self, seeds: int) -> float:
        if not self._can_label:
            return 0.0
        return float(np.median([self._agreement(seed) for seed in range(min(seeds, REFERENCE))])) - WORSE

    def _agreement(self, seed: int) -> float:
        """Share of the pixels that the discriminator gives their class back; 1 without one that labels."""
        if not self._can_label:
            return 1.0
        shares = []
        for scene in self.scenes:
            height, width = scene.label_map.shape
            read = self.model.pipe.segment(
                Image.fromarray(self.image(scene, seed)), size={"height": height, "width": width}
            )
            shares.append(float((read.numpy() == scene.label_map).mean()))
        return sum(shares) / len(shares)


def _can_label(model: LoadedModel) -> bool:
    try:
        discriminator = model.pipe.load_discriminator()
    except (OSError, ValueError):
        return False
    return getattr(discriminator, "labels_pixels", True) and getattr(discriminator, "backbone_ready", True)


def _words(one: Light) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in one._asdict().items())


def scenes_of(model: LoadedModel, folder: Path | None, count: int) -> list[Scene]:
    """Label maps of a folder, or the drawn examples of the model's label space; evenly spaced ones.

    Raises:
        ValueError: there is none.
    """
    paths = example_paths(model.labels) if folder is None else sorted(folder.glob("*.png"))
    if not paths:
        place = f"{folder} holds no PNG" if folder else "there are no drawn examples of this model's classes"
        raise ValueError(f"{place}: name a folder of label maps with --label_maps")
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    maps = [model.fit(read_label_file(paths[place], model.processor).label_map) for place in places]
    return [Scene(paths[place].stem, map_, model.labels) for place, map_ in zip(places, maps, strict=True)]


def write_looks(
    checkpoint: str | Path,
    label_maps: Path | None = None,
    seeds: int = 200,
    scenes: int = 2,
    sheet: Path | None = None,
    told: Callable[[str], None] = print,
) -> list[ModelLook]:
    """Choose the looks of a checkpoint folder and write its looks.json.

    Args:
        checkpoint: the folder.
        label_maps: folder of PNGs in the model's classes; None takes the drawn examples.
        seeds: how many are looked at.
        scenes: how many label maps are drawn.
        sheet: a picture of the looks to look at, one row for each scene.
        told: gets lines on what goes on.

    Raises:
        ValueError: no checkpoint folder, no label maps, or no looks; one line.
    """
    if not Path(checkpoint).is_dir():
        raise ValueError(f"{checkpoint} is no folder: looks.json is written into a checkpoint folder")
    if seeds < 2 or scenes < 1:
        raise ValueError(f"--seeds {seeds} --scenes {scenes}: at least 2 seeds and 1 scene are needed")
    model = load_model(str(checkpoint), str(checkpoint))
    chooser = LookChooser(model, scenes_of(model, label_maps, scenes), told)
    looks = chooser.choose(seeds)
    names = ", ".join(scene.name for scene in chooser.scenes)
    how = f"python -m dpsims_hf.demo.choose_looks, seeds 0..{seeds - 1} on {names}"
    content = looks_file(looks, model.weights_sha256, how)
    (Path(checkpoint) / LOOKS_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if sheet is not None:
        rows = [np.concatenate([chooser.image(scene, look.seed) for look in looks], 1) for scene in chooser.scenes]
        Image.fromarray(np.concatenate(rows)).save(sheet)
    return looks


def main(arguments: Sequence[str] | None = None) -> None:
    """Choose the looks of a checkpoint."""
    parser = argparse.ArgumentParser(prog="choose_looks", description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", help="checkpoint folder; looks.json is written into it")
    parser.add_argument("--label_maps", type=Path, help="folder of PNGs (default: the drawn examples)")
    parser.add_argument("--seeds", type=int, default=200, help="how many are looked at (default: 200)")
    parser.add_argument("--scenes", type=int, default=2, help="label maps that are drawn (default: 2)")
    parser.add_argument("--sheet", type=Path, help="a picture of the looks, to look at")
    options = parser.parse_args(arguments)
    try:
        looks = write_looks(**vars(options))
    except ValueError as error:
        sys.exit(f"choose_looks: {error}")
    print(f"{Path(options.checkpoint) / LOOKS_FILE}: {', '.join(look.name for look in looks)}")


__all__ = ["LookChooser", "main", "scenes_of", "write_looks"]
