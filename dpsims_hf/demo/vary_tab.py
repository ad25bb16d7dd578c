# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that makes variants of one label map: seeds, new noise for parts, walks between seeds, two models."""

import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from PIL import Image

from .animations import write_gif, write_mp4
from .image_settings import image_name, save_images
from .live_picture import picture_html
from .model_library import LoadedModel, ModelLibrary
from .model_text import model_facts
from .scenes import (
    MAX_SEED,
    MAX_STEPS,
    Deadline,
    Scene,
    Variant,
    check_count,
    check_seed,
    file_stem,
    render,
    walk,
)
from .session import CAREFUL, HEAVY, LIGHT, LOADING, LONG, SESSION_SECONDS, Session, in_words, on_gpu
from .variants import (
    Entry,
    Grid,
    Part,
    caption,
    filled,
    highlight,
    history,
    part_at,
    part_mask,
    planned,
    replanned,
    rerolled,
    scene_for,
    scene_key,
)
from .vary_layout import CSS, NO_COMPARISON, NO_SCENE, View, gallery_columns, sides_html, vary_layout


OTHER_CLASSES = "The label map was made for another model, with other classes. Paint or upload one for this model."
Updates = dict[Any, Any]  # component: what it shows from now on


class Vary(NamedTuple):
    """What the page connects.

    Args:
        refresh: (handler, inputs, outputs) of an event that shows the session's scene.
        fill: (handler, inputs, outputs) of a LONG event that makes the first images of a scene without any.
    """

    refresh: tuple[Callable, list, list]
    fill: tuple[Callable, list, list]


def vary_tab(library: ModelLibrary, session: Session) -> Vary:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    grid = gr.State(Grid(), time_to_live=SESSION_SECONDS)
    view = vary_layout(library.names)
    return _connect(_Handlers(library, session, grid, view))


def new_seed() -> int:
    """A random seed."""
    return secrets.randbelow(MAX_SEED + 1)


class _Handlers:
    """What happens on the server. All handlers return the components that change.

    Args:
        library: the models.
        session: what the tabs share.
        grid: the images of this browser session.
        view: the components.
    """

    def __init__(self, library: ModelLibrary, session: Session, grid: gr.State, view: View) -> None:
        self.library = library
        self.session = session
        self.grid = grid
        self.view = view
        self.cache = view.gallery.GRADIO_CACHE  # the page may serve files from there

    # -- the label map --------------------------------------------------------------------------------------------

    def refresh(self, model_name: str, scene: Scene | None, variant: Variant, grid: Grid) -> Updates:
        """Show the scene; if it is another one than before, the images of the old one go."""
        model = self.library.get(model_name)
        fits = scene is not None and tuple(scene.labels) == model.labels
        key = scene_key(model.name, scene) if fits else ""
        if key and key == grid.key:
            return {self.grid: grid}
        view = self.view
        shown = self._show_scene(model, scene) if fits else self._show_no_scene(scene)
        return shown | {
            self.grid: Grid(key),
            view.make: gr.Button(interactive=fits),
            view.seed: variant.seed if fits else gr.skip(),
            view.gallery: gr.Gallery(value=[], selected_index=None),
            view.grid_buttons: gr.Row(visible=False),
            view.tools: gr.Column(visible=False),
            view.walk_empty: gr.HTML(visible=True),
            view.walk_results: gr.Column(visible=False),
        }

    def _show_scene(self, model: LoadedModel, scene: Scene) -> Updates:
        view = self.view
        height, width = scene.label_map.shape
        classes = [
            (f"{row.name} ({100 * row.share:.1f} %)", row.name) for row in model.processor.legend(scene.label_map)
        ]
        return {
            view.map_note: f"{scene.name}, {width} × {height} pixels",
            view.map_picture: gr.Image(model.processor.colorize(scene.label_map), visible=True),
            view.part_class: gr.Dropdown(classes, value=None),
            view.walk_class: gr.Dropdown([("Whole image", ""), *classes], value=""),
        } | self._no_part()

    def _show_no_scene(self, scene: Scene | None) -> Updates:
        view = self.view
        return {
            view.map_note: NO_SCENE if scene is None else OTHER_CLASSES,
            view.map_picture: gr.Image(None, visible=False),
        }

    def _model(self, model_name: str, scene: Scene | None, grid: Grid) -> LoadedModel:
        """The session's model; ValueError unless the page shows this scene and its images are still on disk."""
        model = self.library.get(model_name)
        if scene is None or scene_key(model.name, scene) != grid.key:
            raise ValueError("the label map or the model has changed: open the tab Vary again")
        if not all(Path(shot.file).is_file() for entry in grid.entries for shot in entry.shots):
            raise ValueError("these images are too old and were deleted: reload the page")
        return model

    # -- the grid -------------------------------------------------------------------------------------------------

    def make(self, model_name: str, scene: Scene, grid: Grid, count: int, seed: int) -> Updates:
        """New images, beside the locked ones."""
        model = self._model(model_name, scene, grid)
        return self._fill(model, scene, grid, planned(grid.entries, seed, count), chosen=0)

    def make_first(self, model_name: str, scene: Scene | None, grid: Grid, count: int, seed: int) -> Updates:
        """The first images of a scene; those that are there stay."""
        if grid.entries or not grid.key:
            return {self.grid: grid}
        return self.make(model_name, scene, grid, count, seed)

    def fresh(self, model_name: str, scene: Scene, grid: Grid) -> Updates:
        """New seeds for the images that are not locked."""
        model = self._model(model_name, scene, grid)
        return self._fill(model, scene, grid, replanned(grid.entries, new_seed), chosen=grid.chosen)

    def _fill(self, model: LoadedModel, scene: Scene, grid: Grid, plan: list[Entry | Variant], chosen: int) -> Updates:
        variants = [item for item in plan if isinstance(item, Variant)]
        images = render(model, scene, variants, Deadline())
        files = [self._save(scene, variant, image) for variant, image in zip(variants, images, strict=True)]
        grid = replace(grid, entries=filled(plan, files), chosen=chosen)
        ends = grid.entries[0].variant.seed, grid.entries[-1].variant.seed
        walk_to = ends[1] if ends[0] != ends[1] else planned([], ends[0], 2)[1].seed
        return self._show_grid(scene, grid) | self._show_chosen(model, scene, grid) | {self.view.walk_to: walk_to}

    def choose(self, model_name: str, scene: Scene, grid: Grid, event: gr.SelectData) -> Updates:
        """Show the image that was clicked larger."""
        model = self._model(model_name, scene, grid)
        grid = replace(grid, chosen=min(event.index, len(grid.entries) - 1))
        return {self.grid: grid} | self._show_chosen(model, scene, grid)

    def lock(self, model_name: str, scene: Scene, grid: Grid) -> Updates:
        """Lock the chosen image, or unlock it."""
        self._model(model_name, scene, grid)
        grid = grid.with_entry(replace(grid.entry, locked=not grid.entry.locked))
        return self._show_grid(scene, grid)

    def _save(self, scene: Scene, variant: Variant, image: Image.Image) -> str:
        return save_pil_to_cache(image, self.cache, name=Path(image_name(scene, variant)).stem, format="png")

    def _show_grid(self, scene: Scene, grid: Grid) -> Updates:
        view = self.view
        pictures = [(entry.file, caption(entry, scene)) for entry in grid.entries]
        seed = grid.entry.variant.seed
        return {
            self.grid: grid,
            view.gallery: gr.Gallery(pictures, selected_index=grid.chosen, columns=gallery_columns(len(pictures))),
            view.grid_buttons: gr.Row(visible=True),
            view.tools: gr.Column(visible=True),
            view.lock: f"Unlock seed {seed}" if grid.entry.locked else f"Lock seed {seed}",
        }

    def _show_chosen(self, model: LoadedModel, scene: Scene, grid: Grid) -> Updates:
        view, entry = self.view, grid.entry
        with Image.open(entry.file) as image:
            saved = save_images(self.cache, model, scene, [entry.variant], [image])
            picture = picture_html(image, caption(entry, scene))
        seed = entry.variant.seed
        return {
            self.session.variant: entry.variant,
            view.picture: picture,
            view.history: history(entry.variant, scene),
            view.undo: gr.Button(interactive=len(entry.shots) > 1),
            view.before_after_column: gr.Column(visible=len(entry.shots) > 1),
            view.before_after: entry.before_and_after,
            view.download_image: saved.images[0],
            view.download_map: saved.label_map,
            view.download_settings: saved.settings,
            view.lock: f"Unlock seed {seed}" if entry.locked else f"Lock seed {seed}",
            view.walk_from: seed,
            view.compare_slider: gr.ImageSlider(None, visible=False),
            view.compare_note: NO_COMPARISON,
        }

    # -- new noise for a part -------------------------------------------------------------------------------------

    def take_class(self, model_name: str, scene: Scene, grid: Grid, label: str | None) -> Updates:
        """The next re-roll changes a class."""
        self._model(model_name, scene, grid)
        return self._take(scene, grid, Part(label) if label else None)

    def take_region(self, model_name: str, scene: Scene, grid: Grid, event: gr.SelectData) -> Updates:
        """The next re-roll changes the region that was clicked."""
        self._model(model_name, scene, grid)
        return self._take(scene, grid, part_at(scene, *event.index)) | {self.view.part_class: None}

    def _take(self, scene: Scene, grid: Grid, part: Part | None) -> Updates:
        view = self.view
        if part is None:
            return {self.grid: replace(grid, part=None)} | self._no_part()
        mask = part_mask(scene, part)
        words = f"all of {part.label}" if part.point is None else f"this region of {part.label}"
        with Image.open(grid.entry.file) as image:
            picture = picture_html(highlight(image, mask), f"{words}, the rest dimmed")
        return {
            self.grid: replace(grid, part=part),
            view.part: f"Part: {words}, {100 * mask.mean():.1f} % of the picture.",
            view.reroll: gr.Button(f"Re-roll {words}", interactive=True),
            view.picture: picture,
        }

    def _no_part(self) -> Updates:
        button = gr.Button("Re-roll this part", interactive=False)
        return {self.view.part: "No part chosen yet.", self.view.reroll: button}

    def reroll(self, model_name: str, scene: Scene, grid: Grid, seed: str) -> Updates:
        """New noise for the part, of a random seed if none is typed."""
        model = self._model(model_name, scene, grid)
        if grid.part is None:
            raise ValueError("no part chosen: click the picture or choose a class")
        variant = rerolled(grid.entry.variant, scene, grid.part, _typed_seed(seed))
        image = render(model, scene, [variant], Deadline())[0]
        grid = grid.with_entry(grid.entry.changed(variant, self._save(scene, variant, image)))
        return self._show_grid(scene, grid) | self._show_chosen(model, scene, grid)

    def undo(self, model_name: str, scene: Scene, grid: Grid) -> Updates:
        """Take the last re-roll of the chosen image back."""
        model = self._model(model_name, scene, grid)
        grid = grid.with_entry(grid.entry.undone())
        return self._show_grid(scene, grid) | self._show_chosen(model, scene, grid)

    # -- between two seeds ----------------------------------------------------------------------------------------

    def walk(self, model_name: str, scene: Scene, grid: Grid, start: int, end: int, steps: int, label: str) -> Updates:
        """Frames on the way from one seed to another, as pictures, GIF and MP4."""
        model = self._model(model_name, scene, grid)
        start, end, steps = check_seed(start), check_seed(end), check_count(steps, MAX_STEPS, "frames")
        if start == end:
            raise ValueError(f"both ends are seed {start}: choose two different seeds")
        frames = walk(model, scene, (start, end), steps, [label] if label else None, Deadline())
        stem = f"{scene.name}_seed_{start}_to_{end}" + (f"_{file_stem(label)}" if label else "")
        names = [f"{stem}_frame_{number:02d}" for number in range(1, steps + 1)]
        files = [
            save_pil_to_cache(frame, self.cache, name=name, format="png")
            for frame, name in zip(frames, names, strict=True)
        ]
        folder = tempfile.mkdtemp(dir=self.cache)
        gif, mp4 = (str(Path(folder) / f"{stem}.{suffix}") for suffix in ("gif", "mp4"))
        write_gif(gif, frames)
        write_mp4(mp4, frames)
        view = self.view
        return {
            view.walk_empty: gr.HTML(visible=False),
            view.walk_results: gr.Column(visible=True),
            view.frames: gr.Gallery(files, selected_index=0),
            view.scrub: gr.Slider(maximum=steps, value=1),
            view.video: mp4,
            view.gif: gif,
            view.download_mp4: mp4,
            view.download_gif: gif,
        }

    # -- two models -----------------------------------------------------------------------------------------------

    def load(self, model_name: str, other_name: str | None) -> None:
        """Have the second model ready."""
        other = self.library.get(other_name)
        if not other_name or other.name == self.library.get(model_name).name:
            raise ValueError(f"choose a second model: {other.name!r} is the first one")

    def compare(self, model_name: str, scene: Scene, grid: Grid, other_name: str | None) -> Updates:
        """The chosen image, drawn by two models."""
        model = self._model(model_name, scene, grid)
        other = self.library.get(other_name)
        deadline, sides = Deadline(), []
        for drawer in (model, other):
            image, milliseconds = _timed(drawer, scene_for(drawer, scene), grid.entry.variant, deadline)
            facts = model_facts(drawer.pipe, drawer.text)[1:]  # the first is its name
            sides.append((image, drawer.name, [f"{milliseconds:.0f} ms", *facts]))
        view = self.view
        return {
            view.compare_slider: gr.ImageSlider(tuple(image for image, _, _ in sides), visible=True),
            view.compare_note: sides_html([(title, facts) for _, title, facts in sides]),
        }


def _typed_seed(text: str) -> int:
    """A seed as typed; nothing typed gives a random one."""
    text = text.strip()
    if not text:
        return new_seed()
    if not text.isdecimal():
        raise ValueError(f"seed {text!r} is no whole number in 0..{MAX_SEED}; leave the field empty for a random one")
    return check_seed(int(text))


def _timed(model: LoadedModel, scene: Scene, variant: Variant, deadline: Deadline) -> tuple[Image.Image, float]:
    """An image, and the milliseconds that a warm model takes for it."""
    render(model, scene, [variant], deadline)
    start = time.perf_counter()
    image = render(model, scene, [variant], deadline)[0]
    return image, 1000 * (time.perf_counter() - start)


def _connect(handlers: _Handlers) -> Vary:
    view, session, grid = handlers.view, handlers.session, handlers.grid
    outputs = [grid, session.variant, *view]
    table = [session.model, session.scene, grid]
    refresh = (in_words(handlers.refresh), [session.model, session.scene, session.variant, grid], outputs)

    def light(event: Callable, handler: Callable, *inputs: Any) -> None:
        event(in_words(handler), [*table, *inputs], outputs, show_progress="hidden", **CAREFUL)

    def heavy(event: Callable, handler: Callable, shown: Any, *inputs: Any, places: dict[str, Any] = LONG) -> None:
        event(on_gpu(in_words(handler)), [*table, *inputs], outputs, show_progress_on=shown, **places)

    session.model.change(*refresh, **CAREFUL)
    view.random.click(new_seed, None, view.seed, **LIGHT)
    heavy(view.make.click, handlers.make, view.gallery, view.images, view.seed)
    heavy(view.fresh.click, handlers.fresh, view.gallery)
    light(view.gallery.select, handlers.choose)
    light(view.lock.click, handlers.lock)
    light(view.part_class.input, handlers.take_class, view.part_class)
    light(view.picture.select, handlers.take_region)
    heavy(view.reroll.click, handlers.reroll, view.picture, view.reroll_seed, places=HEAVY)
    light(view.undo.click, handlers.undo)
    heavy(view.walk.click, handlers.walk, [view.walk], view.walk_from, view.walk_to, view.steps, view.walk_class)
    # In the browser alone: all frames are there already.
    show_frame = "(frame) => ({__type__: 'update', selected_index: frame - 1})"
    view.scrub.input(None, view.scrub, view.frames, js=show_frame, **LIGHT)
    view.frames.select(_frame_number, None, view.scrub, show_progress="hidden", **LIGHT)
    load = in_words(handlers.load)
    loaded = view.compare.click(load, [session.model, view.other], None, show_progress_on=[view.compare], **LOADING)
    heavy(loaded.success, handlers.compare, [view.compare], view.other)
    fill = (on_gpu(in_words(handlers.make_first)), [*table, view.images, view.seed], outputs)
    return Vary(refresh, fill)


def _frame_number(event: gr.SelectData) -> int:
    return event.index + 1


__all__ = ["CSS", "Vary", "vary_tab"]
