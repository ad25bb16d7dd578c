# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The grid of the Vary tab: which images it holds, which of them stay, what a re-roll does. No page here."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ..pipeline_noise import connected_component
from .model_library import LoadedModel
from .scenes import MAX_SEED, Reroll, Scene, Variant, check_count, check_seed


DIMMED = 0.28  # how much of the light is left outside a highlighted part


class Part(NamedTuple):
    """What a re-roll changes: all pixels of a class, or the connected region of one class under a point.

    Args:
        label: name of the class.
        point: (row, column) of the click; None means the whole class.
    """

    label: str
    point: tuple[int, int] | None = None


class Shot(NamedTuple):
    """An image on disk and how it was made."""

    variant: Variant
    file: str


@dataclass(frozen=True)
class Entry:
    """One image of the grid.

    Args:
        shots: the image before any re-roll, after the first, ...; the last one is shown.
        locked: stays when the others get new seeds.
    """

    shots: tuple[Shot, ...]
    locked: bool = False

    @property
    def variant(self) -> Variant:
        """How the image was made."""
        return self.shots[-1].variant

    @property
    def file(self) -> str:
        """The image."""
        return self.shots[-1].file

    @property
    def before_and_after(self) -> tuple[str, str] | None:
        """The files before and after the last re-roll; None if there was none."""
        return (self.shots[-2].file, self.shots[-1].file) if len(self.shots) > 1 else None

    def changed(self, variant: Variant, file: str) -> "Entry":
        """With one more re-roll, which made `variant`."""
        return replace(self, shots=(*self.shots, Shot(variant, file)))

    def undone(self) -> "Entry":
        """Without the last re-roll."""
        if len(self.shots) == 1:
            raise ValueError(f"seed {self.variant.seed} has no re-roll to undo")
        return replace(self, shots=self.shots[:-1])


@dataclass(frozen=True)
class Grid:
    """The images of one label map.

    Args:
        key: of the label map and the model that drew them, see `scene_key`.
        entries: in the order shown.
        chosen: index of the image that is shown larger.
        part: what the next re-roll changes.
    """

    key: str = ""
    entries: tuple[Entry, ...] = ()
    chosen: int = 0
    part: Part | None = None

    @property
    def entry(self) -> Entry:
        """The chosen image."""
        if not self.entries:
            raise ValueError("no images yet: press 'Make images' first")
        return self.entries[self.chosen]

    def with_entry(self, entry: Entry) -> "Grid":
        """With another entry in the place of the chosen one."""
        entries = list(self.entries)
        entries[self.chosen] = entry
        return replace(self, entries=tuple(entries))


def scene_key(model_name: str, scene: Scene | None) -> str:
    """Equal for equal label maps, names and models; "" for no scene."""
    if scene is None:
        return ""
    hasher = hashlib.sha256(repr((model_name, scene.name, scene.label_map.shape)).encode())
    hasher.update(scene.label_map.astype(np.int64).tobytes())
    return hasher.hexdigest()


# -- which images -----------------------------------------------------------------------------------------------------


def planned(entries: Sequence[Entry], seed: int, count: int) -> list[Entry | Variant]:
    """A grid of `count` images: the locked ones first, then the seeds seed, seed + 1, ... that are not among them.

    Args:
        entries: the grid so far.
        seed: 0 .. MAX_SEED; after MAX_SEED comes 0.
        count: 1 .. MAX_IMAGES.
    """
    kept = [entry for entry in entries if entry.locked]
    seed, count = check_seed(seed), check_count(count)
    if count < len(kept):
        raise ValueError(f"{len(kept)} images are locked: ask for at least as many, or unlock some")
    taken = {entry.variant for entry in kept}
    new: list[Variant] = []
    while len(kept) + len(new) < count:
        variant = Variant(seed)
        if variant not in taken:
            new.append(variant)
        seed = (seed + 1) % (MAX_SEED + 1)
    return [*kept, *new]


def replanned(entries: Sequence[Entry], new_seed: Callable[[], int]) -> list[Entry | Variant]:
    """The same grid with new seeds for all images that are not locked; no seed stands in it twice.

    Args:
        entries: the grid so far.
        new_seed: draws a seed.
    """
    if not entries:
        raise ValueError("no images yet: press 'Make images' first")
    if all(entry.locked for entry in entries):
        raise ValueError("all images are locked: unlock one to give it a new seed")
    taken = {entry.variant.seed for entry in entries}
    plan: list[Entry | Variant] = []
    for entry in entries:
        if entry.locked:
            plan.append(entry)
            continue
        while (seed := new_seed()) in taken:
            pass
        taken.add(seed)
        plan.append(Variant(seed))
    return plan


def filled(plan: Sequence[Entry | Variant], files: Iterable[str]) -> tuple[Entry, ...]:
    """A plan with the files of the images that had to be drawn, in the plan's order."""
    files = iter(files)
    return tuple(item if isinstance(item, Entry) else Entry((Shot(item, next(files)),)) for item in plan)


# -- words ------------------------------------------------------------------------------------------------------------


def reroll_part(reroll: Reroll, scene: Scene) -> Part:
    """What a re-roll changed."""
    return Part(reroll.label or scene.labels[int(scene.label_map[reroll.point])], reroll.point)


def caption(entry: Entry, scene: Scene) -> str:
    """What stands under an image of the grid: "🔒 locked · seed 12 · car"."""
    names = dict.fromkeys(reroll_part(reroll, scene).label for reroll in entry.variant.rerolls)
    return " · ".join([*(["🔒 locked"] if entry.locked else []), f"seed {entry.variant.seed}", *names])


def history(variant: Variant, scene: Scene) -> str:
    """How an image was made, with every seed."""
    words = [f"seed {variant.seed}"]
    for reroll in variant.rerolls:
        where = "" if reroll.point is None else f" at row {reroll.point[0]}, column {reroll.point[1]}"
        words.append(f"{reroll_part(reroll, scene).label}{where} with seed {reroll.seed}")
    return ", then ".join(words)


# -- parts of a label map ---------------------------------------------------------------------------------------------


def part_at(scene: Scene, column: int, row: int) -> Part:
    """The connected region under a click.

    Args:
        scene: the label map.
        column, row: pixels of the image, from 0 at the top left.
    """
    height, width = scene.label_map.shape
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"row {row}, column {column} lies outside of the image of {width} x {height} pixels")
    return Part(scene.labels[int(scene.label_map[row, column])], (int(row), int(column)))


def part_mask(scene: Scene, part: Part) -> np.ndarray:
    """(height, width) bool: the pixels that a re-roll of this part changes."""
    if part.point is None:
        return scene.label_map == scene.labels.index(part.label)
    return connected_component(torch.from_numpy(scene.label_map.astype(np.int64)), part.point).numpy()


def rerolled(variant: Variant, scene: Scene, part: Part, seed: int) -> Variant:
    """The variant with new noise in a part; earlier re-rolls that lie wholly inside of it leave no trace and go.

    Args:
        variant: of the scene.
        scene: the label map.
        part: what changes.
        seed: of its new noise, 0 .. MAX_SEED.
    """
    mask = part_mask(scene, part)
    kept = [r for r in variant.rerolls if (part_mask(scene, reroll_part(r, scene)) & ~mask).any()]
    reroll = Reroll(seed, point=part.point) if part.point else Reroll(seed, label=part.label)
    return Variant(variant.seed, (*kept, reroll))


def highlight(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """The image with everything dimmed but a mask.

    Args:
        image: RGB.
        mask: (height, width) bool.
    """
    light = np.where(mask, 1.0, DIMMED)[..., None]
    return Image.fromarray((np.asarray(image.convert("RGB")) * light).round().astype(np.uint8))


def map_labels(label_map: np.ndarray, labels: Sequence[str], target: Sequence[str], name: str) -> np.ndarray:
    """The same classes in the numbers of another model, by their names.

    Args:
        label_map: (height, width) ids of `labels`.
        labels, target: names by id.
        name: of the other model, for the message.

    Raises:
        ValueError: a class of the map does not exist there; all such are named.
    """
    if tuple(labels) == tuple(target):  # names may stand twice
        return label_map
    number = {label: index for index, label in reversed(list(enumerate(target)))}
    used = np.unique(label_map).tolist()
    missing = [labels[index] for index in used if labels[index] not in number]
    if missing:
        raise ValueError(
            f"model {name!r} has no class {', '.join(map(repr, missing))}: choose a model with the classes of this "
            "label map, or a label map without them"
        )
    table = np.zeros(len(labels), dtype=np.int64)
    table[used] = [number[labels[index]] for index in used]
    return table[label_map]


def scene_for(model: LoadedModel, scene: Scene) -> Scene:
    """The scene in another model's classes; ValueError if it lacks one."""
    return Scene(scene.name, map_labels(scene.label_map, scene.labels, model.labels, model.name), model.labels)


__all__ = [
    "Entry",
    "Grid",
    "Part",
    "Shot",
    "caption",
    "filled",
    "highlight",
    "history",
    "map_labels",
    "part_at",
    "part_mask",
    "planned",
    "replanned",
    "reroll_part",
    "rerolled",
    "scene_for",
    "scene_key",
]
