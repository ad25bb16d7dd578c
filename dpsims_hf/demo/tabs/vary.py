# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The tab that makes variants of one label map: seeds, new noise for parts, walks between seeds, two models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.events import Dependency

from ..assets import script
from ..drawing.scenes import Scene, Variant, new_seed
from ..drawing.variants import Grid, scene_key
from ..models.library import LoadedModel, ModelLibrary
from ..server.events import CAREFUL, HEAVY, LIGHT, LOADING, LONG, on_gpu, report_errors
from ..widgets.live_picture import download_buttons
from ..widgets.look_strip import LookPicker
from ..widgets.session import SESSION_SECONDS, Session
from ..widgets.stopping import stoppable
from ..widgets.tab import Event, Tab
from .vary_handlers import Handlers
from .vary_layout import vary_layout


@dataclass(frozen=True, kw_only=True)
class Vary(Tab):
    """What the page connects.

    Args:
        fill: makes the first images of a scene without any.
        grid: its images.
    """

    fill: Event
    grid: gr.State


def vary_tab(library: ModelLibrary, session: Session) -> Vary:
    """Lay out the tab inside an open `gr.Tab` and connect its events."""
    grid = gr.State(Grid(), time_to_live=SESSION_SECONDS)
    table = [session.model, session.scene, grid]

    def current(model_name: str, scene: Scene | None, grid: Grid) -> tuple[LoadedModel, Scene, Variant]:
        model = library.get(model_name)
        if scene is None or scene_key(model.name, scene) != grid.key:
            raise ValueError("the label map or the model has changed: open the tab Vary again")
        return model, scene, grid.entry.variant

    looks: list[LookPicker] = []
    view = vary_layout(
        library.names,
        lambda: looks.append(LookPicker(library, session, "vary-looks")),
        lambda: download_buttons("vary", current, table, session.looks),
    )
    looks[0].previews(current, table)
    return _connect(Handlers(library, session, grid, view), looks[0])


def _connect(handlers: Handlers, looks: LookPicker) -> Vary:
    view, session, grid = handlers.view, handlers.session, handlers.grid
    outputs = [grid, session.scene, session.variant, *view.components]
    table = [session.model, session.scene, grid]
    quiet = {"show_progress": "hidden"}
    refresh = [report_errors(handlers.refresh), [session.model, session.scene, session.variant, grid], outputs]

    def light(event: Callable, handler: Callable, *inputs: Any) -> None:
        event(report_errors(handler), [*table, *inputs], outputs, show_progress="hidden", **CAREFUL)

    def heavy(event: Callable, handler: Callable, shown: Any, *inputs: Any, stop: Any, places: Any = LONG) -> None:
        function, options = on_gpu(report_errors(handler)), {"show_progress_on": shown, **places}
        stoppable(stop, event, lambda: [event(function, [*table, *inputs], outputs, **options)])

    first = [*table, view.map.images, view.map.seed]
    changed = session.model.change(*refresh, **CAREFUL)
    again = on_gpu(report_errors(handlers.make_if_open))
    changed.success(again, [*first, session.tab], outputs, show_progress_on=view.grid.gallery, **LONG)
    gallery = view.grid.gallery
    view.map.random.click(new_seed, None, view.map.seed, **LIGHT)
    heavy(view.map.make.click, handlers.make, gallery, view.map.images, view.map.seed, stop=view.map.stop)
    heavy(view.grid.fresh.click, handlers.fresh, gallery, stop=view.map.stop)
    light(view.grid.gallery.select, handlers.choose)
    looks.taken(handlers.take_look, [session.scene, grid], outputs, draws=True)
    light(view.grid.lock.click, handlers.lock)
    light(view.chosen.label.input, handlers.take_class, view.chosen.label)
    light(view.chosen.picture.select, handlers.take_region)
    reroll = on_gpu(report_errors(handlers.reroll))
    seed = view.chosen.reroll_seed
    view.chosen.reroll.click(reroll, [*table, seed], outputs, show_progress_on=view.chosen.picture, **HEAVY)
    light(view.chosen.undo.click, handlers.undo)
    walk = view.walk
    heavy(walk.make.click, handlers.walk, [walk.make], walk.start, walk.end, walk.steps, walk.label, stop=walk.stop)
    # In the browser alone: all frames are there already.
    walk.scrub.input(None, walk.scrub, walk.frames, js=script("show_frame"), **LIGHT)
    walk.frames.select(_frame_number, None, walk.scrub, show_progress="hidden", **LIGHT)
    other, run = view.compare.other, view.compare.run
    load = report_errors(handlers.load)
    second = on_gpu(report_errors(handlers.compare))

    def compare() -> list[Dependency]:
        loaded = run.click(load, [session.model, other], None, show_progress_on=[run], **LOADING)
        return [loaded, loaded.success(second, [*table, other], outputs, show_progress_on=[run], **LONG)]

    stoppable(view.compare.stop, run.click, compare)
    make = on_gpu(report_errors(handlers.make_first))
    fill = Event(make, first, outputs, {"show_progress_on": gallery} | LONG)
    return Vary(opened=Event(*refresh, quiet | CAREFUL), fill=fill, grid=grid, needs_scene=True)


def _frame_number(event: gr.SelectData) -> int:
    return event.index + 1


__all__ = ["Vary", "vary_tab"]
