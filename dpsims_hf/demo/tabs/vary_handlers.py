# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the Vary tab does on the server."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from PIL import Image

from ..drawing.animations import write_gif, write_mp4
from ..drawing.carried_scenes import carried_scene, no_match
from ..drawing.scenes import (
    MAX_STEPS,
    Deadline,
    Scene,
    Variant,
    check_count,
    check_seed,
    file_stem,
    new_seed,
    render,
    typed_seed,
    walk,
)
from ..drawing.settings import image_name
from ..drawing.variants import (
    Entry,
    Grid,
    Part,
    Planned,
    Shot,
    caption,
    continued,
    drawn_variant,
    filled,
    fitting,
    highlight,
    history,
    part_at,
    part_mask,
    planned,
    replanned,
    rerolled,
    scene_key,
)
from ..models.card_text import model_facts
from ..models.library import LoadedModel, ModelLibrary
from ..widgets.live_picture import picture_html
from ..widgets.session import Session
from ..widgets.stopping import counter
from .vary_layout import NO_COMPARISON, NO_SCENE, View, gallery_columns, sides_html


OTHER_CLASSES = "The label map was made for another model, with other classes. Paint or upload one for this model."
Updates = dict[Any, Any]  # component: what it shows from now on


class Handlers:
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
        self.cache = view.grid.gallery.GRADIO_CACHE  # the page may serve files from there

    # -- the label map --------------------------------------------------------------------------------------------

    def refresh(self, model_name: str, scene: Scene | None, variant: Variant, grid: Grid) -> Updates:
        """Show the scene; if it is another one than before, its images are those of the old one, not drawn yet."""
        model = self.library.get(model_name)
        fits, missing = scene is not None, []
        if scene is not None and tuple(scene.labels) != model.labels:
            try:
                scene, missing = carried_scene(model, scene)
            except ValueError:  # no class in common
                fits = False
        key = scene_key(model.name, scene) if fits else ""
        variant = fitting(variant, scene, model) if fits else variant
        if key and key == grid.key and not grid.lacks(variant):
            return {self.grid: grid.looking_at(variant)}
        view = self.view
        shown = self._show_scene(model, scene, missing) if fits else self._show_no_scene(scene)
        return shown | {
            self.session.scene: scene,
            self.grid: grid.for_scene(key, scene if fits else None, variant, model),
            view.map.make: gr.Button(interactive=fits),
            view.map.seed: variant.seed if fits else gr.skip(),
            view.grid.gallery: gr.Gallery(value=[], selected_index=None),
            view.grid.buttons: gr.Row(visible=False),
            view.tools: gr.Column(visible=False),
            view.walk.empty: gr.HTML(visible=True),
            view.walk.results: gr.Column(visible=False),
            view.compare.other: gr.Dropdown([name for name in self.library.names if name != model.name], value=None),
        }

    def _show_scene(self, model: LoadedModel, scene: Scene, missing: list[str]) -> Updates:
        view = self.view
        height, width = scene.label_map.shape
        classes = [
            (f"{row.name} ({100 * row.share:.1f} %)", row.name) for row in model.processor.legend(scene.label_map)
        ]
        return {
            view.map.note: f"{scene.name}, {width} × {height} pixels{no_match(missing)}",
            view.map.picture: gr.Image(model.processor.colorize(scene.label_map), visible=True),
            view.chosen.label: gr.Dropdown(classes, value=None),
            view.walk.label: gr.Dropdown([("Whole image", ""), *classes], value=""),
        } | self._no_part()

    def _show_no_scene(self, scene: Scene | None) -> Updates:
        view = self.view
        return {
            view.map.note: NO_SCENE if scene is None else OTHER_CLASSES,
            view.map.picture: gr.Image(None, visible=False),
        }

    def _model(self, model_name: str, scene: Scene | None, grid: Grid) -> LoadedModel:
        """The session's model; ValueError unless the page shows this scene and its images are still on disk."""
        model = self.library.get(model_name)
        if scene is None or scene_key(model.name, scene) != grid.key:
            raise ValueError("the label map or the model has changed: open the tab Vary again")
        if not all(Path(shot.file).is_file() for entry in grid.entries for shot in entry.shots if shot.file):
            raise ValueError("these images are too old and were deleted: reload the page")
        return model

    # -- the grid -------------------------------------------------------------------------------------------------

    def make(
        self,
        model_name: str,
        scene: Scene,
        grid: Grid,
        count: int,
        seed: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  gradio looks for it there
    ) -> Updates:
        """New images, beside the locked ones."""
        model = self._model(model_name, scene, grid)
        kept = [item for item in grid.plan if item.locked] if not grid.entries else []
        plan = continued(kept, seed, count) if kept else planned(grid.entries, seed, count)
        return self._fill(model, scene, grid, plan, 0, progress)

    def make_first(
        self,
        model_name: str,
        scene: Scene | None,
        grid: Grid,
        count: int,
        seed: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Updates:
        """The first images of a scene, like those of the scene before; those that are there stay."""
        if grid.entries or not grid.key:
            return {self.grid: grid}
        model = self._model(model_name, scene, grid)
        return self._fill(model, scene, grid, continued(grid.plan, seed, count), grid.chosen, progress)

    def make_if_open(self, model_name: str, scene: Scene | None, grid: Grid, *inputs: Any) -> Updates:
        """After a change of the model: the images again, if this tab is open."""
        *rest, tab = inputs
        return {self.grid: grid} if tab != "vary" else self.make_first(model_name, scene, grid, *rest)

    def fresh(
        self,
        model_name: str,
        scene: Scene,
        grid: Grid,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Updates:
        """New seeds for the images that are not locked."""
        model = self._model(model_name, scene, grid)
        return self._fill(model, scene, grid, replanned(grid.entries, new_seed), grid.chosen, progress)

    def _fill(
        self,
        model: LoadedModel,
        scene: Scene,
        grid: Grid,
        plan: Sequence[Entry | Variant | Planned],
        chosen: int,
        progress: gr.Progress,
    ) -> Updates:
        variants = [variant for variant in map(drawn_variant, plan) if variant is not None]
        images = render(model, scene, variants, Deadline(), counter(progress, "image"))
        files = [self._save(scene, variant, image) for variant, image in zip(variants, images, strict=True)]
        entries = filled(plan, files)
        grid = replace(grid, entries=entries, chosen=min(chosen, len(entries) - 1), plan=())
        ends = grid.entries[0].variant.seed, grid.entries[-1].variant.seed
        walk_to = ends[1] if ends[0] != ends[1] else planned([], ends[0], 2)[1].seed
        return self._show_grid(scene, grid) | self._show_chosen(scene, grid) | {self.view.walk.end: walk_to}

    def choose(self, model_name: str, scene: Scene, grid: Grid, event: gr.SelectData) -> Updates:
        """Show the image that was clicked larger."""
        self._model(model_name, scene, grid)
        grid = replace(grid, chosen=min(event.index, len(grid.entries) - 1))
        return {self.grid: grid} | self._show_chosen(scene, grid)

    def take_look(self, model: LoadedModel, look: Variant, scene: Scene, grid: Grid) -> Updates:
        """A look of the model becomes the chosen image, and the first one if it is not among them."""
        self._model(model.name, scene, grid)
        known = grid.looking_at(look)
        if grid.entries and known.entry.variant == look:
            grid = known
        else:
            image = render(model, scene, [look], Deadline())[0]
            grid = grid.with_first(Entry((Shot(look, self._save(scene, look, image)),)))
        return self._show_grid(scene, grid) | self._show_chosen(scene, grid)

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
            view.grid.gallery: gr.Gallery(
                pictures, selected_index=grid.chosen, columns=gallery_columns(len(pictures))
            ),
            view.grid.buttons: gr.Row(visible=True),
            view.tools: gr.Column(visible=True),
            view.grid.lock: f"Unlock seed {seed}" if grid.entry.locked else f"Lock seed {seed}",
        }

    def _show_chosen(self, scene: Scene, grid: Grid) -> Updates:
        view, entry = self.view, grid.entry
        with Image.open(entry.file) as image:
            picture = picture_html(image, caption(entry, scene))
        seed = entry.variant.seed
        return {
            self.session.variant: entry.variant,
            view.chosen.picture: picture,
            view.chosen.history: history(entry.variant, scene),
            view.chosen.undo: gr.Button(interactive=len(entry.shots) > 1),
            view.chosen.compared: gr.Column(visible=entry.before_and_after is not None),
            view.chosen.before_after: entry.before_and_after,
            view.grid.lock: f"Unlock seed {seed}" if entry.locked else f"Lock seed {seed}",
            view.walk.start: seed,
            view.compare.slider: gr.ImageSlider(None, visible=False),
            view.compare.note: NO_COMPARISON,
        }

    # -- new noise for a part -------------------------------------------------------------------------------------

    def take_class(self, model_name: str, scene: Scene, grid: Grid, label: str | None) -> Updates:
        """The next re-roll changes a class."""
        self._model(model_name, scene, grid)
        return self._take(scene, grid, Part(label) if label else None)

    def take_region(self, model_name: str, scene: Scene, grid: Grid, event: gr.SelectData) -> Updates:
        """The next re-roll changes the region that was clicked."""
        self._model(model_name, scene, grid)
        return self._take(scene, grid, part_at(scene, *event.index)) | {self.view.chosen.label: None}

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
            view.chosen.part: f"Part: {words}, {100 * mask.mean():.1f} % of the picture.",
            view.chosen.reroll: gr.Button(f"Re-roll {words}", interactive=True),
            view.chosen.picture: picture,
        }

    def _no_part(self) -> Updates:
        button = gr.Button("Re-roll this part", interactive=False)
        return {self.view.chosen.part: "No part chosen yet.", self.view.chosen.reroll: button}

    def reroll(self, model_name: str, scene: Scene, grid: Grid, seed: str) -> Updates:
        """New noise for the part, of a random seed if none is typed."""
        model = self._model(model_name, scene, grid)
        if grid.part is None:
            raise ValueError("no part chosen: click the picture or choose a class")
        variant = rerolled(grid.entry.variant, scene, grid.part, typed_seed(seed))
        image = render(model, scene, [variant], Deadline())[0]
        grid = grid.with_entry(grid.entry.changed(variant, self._save(scene, variant, image)))
        return self._show_grid(scene, grid) | self._show_chosen(scene, grid)

    def undo(self, model_name: str, scene: Scene, grid: Grid) -> Updates:
        """Take the last re-roll of the chosen image back."""
        model = self._model(model_name, scene, grid)
        entry = grid.entry.undone()
        if not entry.file:  # it was made for another label map
            image = render(model, scene, [entry.variant], Deadline())[0]
            entry = replace(
                entry, shots=(*entry.shots[:-1], Shot(entry.variant, self._save(scene, entry.variant, image)))
            )
        grid = grid.with_entry(entry)
        return self._show_grid(scene, grid) | self._show_chosen(scene, grid)

    # -- between two seeds ----------------------------------------------------------------------------------------

    def walk(
        self,
        model_name: str,
        scene: Scene,
        grid: Grid,
        start: int,
        end: int,
        steps: int,
        label: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Updates:
        """Frames on the way from one seed to another, as pictures, GIF and MP4; re-rolled parts stay as they are.

        From the seed of a look that was found for a photo, it starts from that look.
        """
        model = self._model(model_name, scene, grid)
        start, end, steps = check_seed(start), check_seed(end), check_count(steps, MAX_STEPS, "frames")
        if start == end:
            raise ValueError(f"both ends are seed {start}: choose two different seeds")
        chosen = grid.entry.variant if grid.entries else Variant(start)
        found = chosen.noise if chosen.seed == start else None
        labels, count = [label] if label else None, counter(progress, "frame")
        frames = walk(model, scene, (start, end), steps, labels, Deadline(), chosen.rerolls, count, found)
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
            view.walk.empty: gr.HTML(visible=False),
            view.walk.results: gr.Column(visible=True),
            view.walk.frames: gr.Gallery(files, selected_index=0),
            view.walk.scrub: gr.Slider(maximum=steps, value=1),
            view.walk.video: mp4,
            view.walk.gif: gif,
            view.walk.save_mp4: mp4,
            view.walk.save_gif: gif,
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
            carried, missing = carried_scene(drawer, scene)
            image, milliseconds = _timed(drawer, carried, fitting(grid.entry.variant, carried, drawer), deadline)
            facts = model_facts(drawer.pipe, drawer.text)[1:]  # the first is its name
            notes = [f"no match for {', '.join(missing)}"] if missing else []
            sides.append((image, drawer.name, [f"{milliseconds:.0f} ms", *notes, *facts]))
        view = self.view
        return {
            view.compare.slider: gr.ImageSlider(tuple(image for image, _, _ in sides), visible=True),
            view.compare.note: sides_html([(title, facts) for _, title, facts in sides]),
        }


def _timed(model: LoadedModel, scene: Scene, variant: Variant, deadline: Deadline) -> tuple[Image.Image, float]:
    """An image, and the milliseconds that a warm model takes for it."""
    render(model, scene, [variant], deadline)
    start = time.perf_counter()
    image = render(model, scene, [variant], deadline)[0]
    return image, 1000 * (time.perf_counter() - start)


__all__ = ["Handlers"]
