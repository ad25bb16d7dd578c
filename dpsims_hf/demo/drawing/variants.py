# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The grid of the Vary tab: which images it holds, which of them stay, and what a re-roll does."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ...pipeline_noise import connected_component
from ..models.library import LoadedModel
from .scenes import MAX_IMAGES, MAX_SEED, Reroll, Scene, Variant, check_count, check_seed, takes_noise


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
    """How an image was made, and the image on disk; "" if it is not drawn yet."""

    variant: Variant
    file: str = ""


class Planned(NamedTuple):
    """An image that is to be drawn for a new label map, in the place of one for the map before.

    Args:
        variants: of its shots, see `Entry`.
        locked: whether it is.
    """

    variants: tuple[Variant, ...]
    locked: bool = False


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
        """The files before and after the last re-roll; None if there was none, or it was for another label map."""
        files = tuple(shot.file for shot in self.shots[-2:])
        return (files[0], files[1]) if len(files) == 2 and all(files) else None

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
        plan: what the first images of this label map are, from the images of the one before.
    """

    key: str = ""
    entries: tuple[Entry, ...] = ()
    chosen: int = 0
    part: Part | None = None
    plan: tuple[Planned, ...] = ()

    @property
    def planned(self) -> tuple[Planned, ...]:
        """What to draw if the label map changes: seeds, re-rolls and locks outlive it."""
        entries = (Planned(tuple(shot.variant for shot in entry.shots), entry.locked) for entry in self.entries)
        return tuple(entries) or self.plan

    def lacks(self, variant: Variant) -> bool:
        """Whether an image that was looked at elsewhere, and is more than a seed, is not among these."""
        return variant.is_special and variant not in [entry.variant for entry in self.entries]

    def looking_at(self, variant: Variant) -> "Grid":
        """With the image that was looked at elsewhere as the chosen one, if it is there."""
        variants = [entry.variant for entry in self.entries]
        return replace(self, chosen=variants.index(variant)) if variant in variants else self

    def for_scene(
        self, key: str, scene: "Scene | None", looked_at: Variant, model: LoadedModel | None = None
    ) -> "Grid":
        """The grid of another label map, not drawn yet; with the image looked at, if it is more than a seed and not
        there. What the scene or the model cannot have is left out.
        """
        if scene is None:
            return Grid(key, chosen=self.chosen, plan=self.planned)
        plan = [Planned(tuple(fitting(v, scene, model) for v in item.variants), item.locked) for item in self.planned]
        looked_at = fitting(looked_at, scene, model)
        at = [item.variants[-1] for item in plan]
        if looked_at.is_special and looked_at not in at:
            plan.insert(0, Planned((looked_at,)))
        chosen = at.index(looked_at) if looked_at in at else 0
        return Grid(key, chosen=chosen, plan=tuple(plan[:MAX_IMAGES]))

    @property
    def entry(self) -> Entry:
        """The chosen image."""
        if not self.entries:
            raise ValueError("no images yet: press 'Make images' first")
        return self.entries[self.chosen]

    def with_first(self, entry: Entry) -> "Grid":
        """With one more image, in front and chosen; a full grid loses the last one that is not locked."""
        entries = [entry, *self.entries]
        if len(entries) > MAX_IMAGES:
            loose = [at for at, other in enumerate(entries) if at and not other.locked]
            del entries[loose[-1] if loose else -1]
        return replace(self, entries=tuple(entries), chosen=0, plan=())

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


def continued(plan: Sequence[Planned], seed: int, count: int) -> list[Planned]:
    """What was planned for a new label map, and the seeds seed, seed + 1, ... that are not among it, up to `count`."""
    if len(plan) > 1:  # as many as there were
        return list(plan)
    taken = {item.variants[-1] for item in plan}
    more = [Planned((variant,)) for variant in planned([], seed, check_count(count)) if variant not in taken]
    return [*plan, *more[: max(count - len(plan), 0)]]


def filled(plan: Sequence[Entry | Variant | Planned], files: Iterable[str]) -> tuple[Entry, ...]:
    """A plan with the files of the images that had to be drawn, in the plan's order."""
    files = iter(files)

    def entry(item: Entry | Variant | Planned) -> Entry:
        if isinstance(item, Entry):
            return item
        if isinstance(item, Variant):
            return Entry((Shot(item, next(files)),))
        return Entry((*map(Shot, item.variants[:-1]), Shot(item.variants[-1], next(files))), item.locked)

    return tuple(map(entry, plan))


def drawn_variant(item: Entry | Variant | Planned) -> Variant | None:
    """What has to be drawn for an item of a plan."""
    if isinstance(item, Entry):
        return None
    return item if isinstance(item, Variant) else item.variants[-1]


# -- words ------------------------------------------------------------------------------------------------------------


def reroll_part(reroll: Reroll, scene: Scene) -> Part:
    """What a re-roll changed."""
    return Part(reroll.label or scene.labels[int(scene.label_map[reroll.point])], reroll.point)


def caption(entry: Entry, scene: Scene) -> str:
    """What stands under an image of the grid: "🔒 locked · seed 12 · car"."""
    names = dict.fromkeys(reroll_part(reroll, scene).label for reroll in entry.variant.rerolls)
    return " · ".join([*(["🔒 locked"] if entry.locked else []), base(entry.variant), *names])


def base(variant: Variant) -> str:
    """What an image was before any re-roll: "seed 12", or "look of evening"."""
    return f"seed {variant.seed}" if variant.noise is None else f"look of {variant.noise.photo}"


def history(variant: Variant, scene: Scene) -> str:
    """How an image was made, with every seed."""
    words = [base(variant)]
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
    return replace(variant, rerolls=(*kept, reroll))


def fitting(variant: Variant, scene: Scene, model: LoadedModel | None = None) -> Variant:
    """The variant without the re-rolls of classes and points that a scene does not have, and without found noise of
    another length than a model takes: its seed is drawn then.
    """
    height, width = scene.label_map.shape
    used = {scene.labels[label] for label in np.unique(scene.label_map)}
    kept = [
        r
        for r in variant.rerolls
        if (r.label in used if r.point is None else 0 <= r.point[0] < height and 0 <= r.point[1] < width)
    ]
    if model is not None and variant.noise is not None and not takes_noise(model, variant.noise):
        variant = replace(variant, noise=None)
    return variant if len(kept) == len(variant.rerolls) else replace(variant, rerolls=tuple(kept))


def highlight(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """The image with everything dimmed but a mask.

    Args:
        image: RGB.
        mask: (height, width) bool.
    """
    light = np.where(mask, 1.0, DIMMED)[..., None]
    return Image.fromarray((np.asarray(image.convert("RGB")) * light).round().astype(np.uint8))


__all__ = [
    "Entry",
    "Grid",
    "Part",
    "Planned",
    "Shot",
    "base",
    "caption",
    "continued",
    "drawn_variant",
    "filled",
    "fitting",
    "highlight",
    "history",
    "part_at",
    "part_mask",
    "planned",
    "replanned",
    "reroll_part",
    "rerolled",
    "scene_key",
]
