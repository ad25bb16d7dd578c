# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Puts the tabs of the Space together."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr
from starlette.middleware import Middleware

from .assets import css, script, theme
from .drawing.scenes import Scene
from .models.library import ModelLibrary
from .server.api import api_endpoints
from .server.events import CAREFUL, LIGHT, believe_no_headers, report_errors
from .server.guard import SWEEP_SECONDS, Guard
from .server.page import Page
from .tabs.card import card_tab
from .tabs.evaluate import evaluate_tab
from .tabs.palette import palette_tab
from .tabs.photo import photo_tab
from .tabs.python import python_tab
from .tabs.sketch import sketch_tab
from .tabs.style import style_tab
from .tabs.upload import upload_tab
from .tabs.vary import vary_tab
from .uploads.limits import MAX_ARCHIVE_BYTES, MAX_WAITING, STORED_SECONDS
from .widgets.kept_look import Kept, Restorer, keep_changes, kept_component
from .widgets.model_picker import model_picker
from .widgets.opened_file import Opener
from .widgets.session import Session, new_session
from .widgets.tab import Event, Tab


SESSIONS = 300  # visitors whose state is kept, about half a megabyte each; the oldest is forgotten first
THREADS = 80  # more than the events that run a model can hold while they wait for their turn


class TabRow(NamedTuple):
    """A tab of the page.

    Args:
        id: its name in the page.
        title: what stands on it.
        build: lays it out inside an open `gr.Tab` and connects its own events.
    """

    id: str
    title: str
    build: Callable[[ModelLibrary, Session], Tab]


TABS = (
    TabRow("sketch", "Sketch", sketch_tab),
    TabRow("upload", "Upload", upload_tab),
    TabRow("vary", "Vary", vary_tab),
    TabRow("style", "Style", style_tab),
    TabRow("photo", "Photo", photo_tab),
    TabRow("evaluate", "Evaluate", evaluate_tab),
    TabRow("python", "Python", python_tab),
    TabRow("palette", "Palette", palette_tab),
    TabRow("card", "Card", card_tab),
)


def build_demo(library: ModelLibrary, rows: Sequence[TabRow] = TABS) -> gr.Blocks:
    """The page.

    Args:
        library: the models that can be chosen; its default is open at first.
        rows: its tabs, in their order; "sketch", "upload" and "vary" among them.

    Returns:
        Blocks with a queue, not launched. `launch(**launch_options())` gives it the theme.
    """
    believe_no_headers()
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")  # else a table of all events at each of them
    with Page(title="DP-SIMS", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, STORED_SECONDS)) as demo:
        api_endpoints(library)  # first, so that no event of the page takes one of their names
        session = new_session()
        choice = model_picker(library, session)
        look = kept_component()
        pages: dict[str, gr.Tab] = {}
        built: dict[str, Tab] = {}
        with gr.Tabs(elem_id="tabs") as tabs:
            for row in rows:
                with gr.Tab(row.title, id=row.id, elem_id=f"tab-{row.id}") as pages[row.id]:
                    built[row.id] = row.build(library, session)
        sketch, vary = built["sketch"], built["vary"]
        kept = Kept(choice, sketch.canvas, sketch.name, sketch.seed, vary.grid)
        for name, page in pages.items():
            _connect_tab(name, page, built, session)
        for tab in built.values():
            if tab.vary is not None:
                _lead_to_vary(tab, tabs)
        _start(demo, library, session, tabs, built, kept, look)
    return demo.queue(max_size=MAX_WAITING, default_concurrency_limit=4, api_open=False)


def _connect_tab(name: str, page: gr.Tab, built: dict[str, Tab], session: Session) -> None:
    """What happens when a tab is opened."""
    tab = built[name]
    page.select(None, js=script("remember_tab"), api_visibility="private")
    places = lambda: (name, name if tab.taken is not None else gr.skip())  # noqa: E731
    opened = page.select(places, None, [session.tab, session.source], **LIGHT)
    if tab.needs_scene:
        opened = _take_last(built, session).after(opened.success)
    if tab.opened is not None:
        opened = tab.opened.after(opened.success)
    if name == "vary":
        tab.fill.after(opened.success)
    if name == "sketch":
        tab.redraw.after(opened.success)


def _take_last(built: dict[str, Tab], session: Session) -> Event:
    """The label map of the tab that was open last becomes the session's, as the browser has it now."""
    sources = {name: tab.taken for name, tab in built.items() if tab.taken is not None}

    def take(source: str, *inputs: Any) -> tuple[Any, Any]:
        found = {}
        for name, event in sources.items():
            mine, inputs = inputs[: len(event.inputs)], inputs[len(event.inputs) :]
            if name in (source, "sketch"):
                found[name] = event.handler(*mine)
        taken = found.get(source, found["sketch"])
        return taken if isinstance(taken[0], Scene) else found["sketch"]  # a tab may be open without a map

    inputs = [part for event in sources.values() for part in event.inputs]
    return Event(take, [session.source, *inputs], [session.scene, session.variant], LIGHT)


def _lead_to_vary(tab: Tab, tabs: gr.Tabs) -> None:
    """A button opens the Vary tab, which takes the label map of the tab that it was opened from."""
    tab.vary.click(lambda: gr.Tabs(selected="vary"), None, tabs, **LIGHT)


def _start(
    demo: Page,
    library: ModelLibrary,
    session: Session,
    tabs: gr.Tabs,
    built: dict[str, Tab],
    kept: Kept,
    look: gr.JSON,
) -> None:
    """The page opens as the browser tab left it, with a picture; and an uploaded map can be taken to the canvas."""
    restorer, sketch, upload = Restorer(library), built["sketch"], built["upload"]
    names = tuple(built)

    def restore(content: Any) -> tuple[Any, ...]:
        wanted = content.get("tab") if isinstance(content, dict) else None
        tab = wanted if wanted in names else names[0]
        shown = gr.skip() if tab == names[0] else gr.Tabs(selected=tab)
        return *restorer.restore(content), shown, tab

    choice, *others, grid = kept
    state = [session.model, choice, *others, session.variant, grid, session.looks]
    outputs = [*state, tabs, session.tab]
    loaded = demo.load(restore, look, outputs, js=script("read_kept"), show_progress="hidden", **CAREFUL)
    sketch.draw.after(loaded.success)
    keep_changes(demo, look, session, kept, loaded.then)
    for name in ("name_parts", "watch_server"):
        demo.load(None, js=script(name), api_visibility="private")
    inputs = [session.model, session.looks, sketch.file]
    opened = sketch.file.upload(report_errors(Opener(library).open), inputs, state, **CAREFUL)
    sketch.draw.after(opened.success)
    _take_looks(session, tabs, built)
    for tab in built.values():
        after = loaded
        for event in tab.restored:
            after = event.after(after.success)
    outputs = [sketch.canvas, sketch.name, tabs, session.tab, session.source]
    edited = upload.edit.click(report_errors(to_canvas), upload.scene, outputs, **CAREFUL)
    sketch.draw.after(edited.success)


def _take_looks(session: Session, tabs: gr.Tabs, built: dict[str, Tab]) -> None:
    """Buttons of a tab that finds looks take one to Sketch, or to Vary."""
    seeds = [tab.seed for tab in built.values() if tab.seed is not None]
    for tab in built.values():
        if tab.found is None:
            continue
        for goal, button in tab.found.buttons.items():

            def take(*inputs: Any, goal: str = goal, tab: Tab = tab) -> tuple[Any, ...]:
                look = tab.found.look(*inputs)
                source = goal if goal == "sketch" else gr.skip()  # Vary shows the label map that the look was found on
                # a tab whose picture has another seed would have Vary show that one
                return look, gr.Tabs(selected=goal), goal, source, *(look.seed for _ in seeds)

            outputs = [session.variant, tabs, session.tab, session.source, *seeds]
            taken = button.click(report_errors(take), tab.found.inputs, outputs, **CAREFUL)
            if goal == "sketch":
                built["sketch"].draw.after(taken.success)


def to_canvas(scene: Scene | None) -> tuple[Any, str, gr.Tabs, str, str]:
    """Take an uploaded map to the Sketch tab."""
    if scene is None:
        raise ValueError("no label map yet: click an example or upload a PNG first")
    return scene.label_map, scene.name, gr.Tabs(selected="sketch"), "sketch", "sketch"


def launch_options() -> dict[str, Any]:
    """Arguments of `launch` that belong to the page: look, upload limits, the guard of requests, footer."""
    return {
        "theme": theme(),
        "css": css(),
        "max_file_size": MAX_ARCHIVE_BYTES,
        "max_threads": THREADS,
        "state_session_capacity": SESSIONS,
        "show_error": True,
        "footer_links": ["api"],
        "enable_monitoring": False,
        "app_kwargs": {"middleware": [Middleware(Guard)]},
        # Gradio asks its own page once and ends without an answer in three seconds: a busy machine takes longer.
        "_frontend": False,
    }


__all__ = ["TABS", "TabRow", "build_demo", "launch_options"]
