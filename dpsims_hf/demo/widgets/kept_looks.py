# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The looks that a visitor keeps under names: choose one, keep the present one, rename, delete."""

from typing import Any, NamedTuple

import gradio as gr
from gradio.events import Dependency

from ..drawing.found_noise import FoundNoise
from ..drawing.look_previews import look_name
from ..drawing.named_looks import NamedLook, clean_name, free_name, named, renamed, with_look, without
from ..drawing.scenes import Variant, with_seed
from ..drawing.variants import base
from ..models.library import ModelLibrary
from ..server.events import CAREFUL, LIGHT, report_errors
from .session import Session


TITLE = "Kept looks"
NONE_YET = "none yet: type a name, and keep what you see"


class KeptLooks(NamedTuple):
    """The components, and the event in which one is chosen."""

    choice: gr.Dropdown
    name: gr.Textbox
    keep: gr.Button
    rename: gr.Button
    delete: gr.Button
    chosen: Dependency | None = None


def kept_looks(library: ModelLibrary, session: Session, seed: gr.Number) -> KeptLooks:
    """Lay them out, and connect what happens.

    Args:
        library: the models.
        session: whose looks they are, and whose look is chosen.
        seed: the field that shows the look's seed; its changes are drawn.
    """
    with gr.Group(elem_id="looks"):
        with gr.Row(equal_height=False, elem_classes="looks-row"):
            choice = gr.Dropdown([], value=None, label=TITLE, info=NONE_YET, min_width=180, elem_id="looks-choice")
            name = gr.Textbox(
                label="Name", info="of the look to keep", placeholder="late evening", max_length=40, min_width=120,
                elem_id="looks-name",
            )  # fmt: skip
        with gr.Row(equal_height=False, elem_classes="looks-row"):
            keep = gr.Button("Keep this look", size="sm", min_width=110, elem_id="looks-keep")
            rename = gr.Button("Rename", size="sm", min_width=80, interactive=False, elem_id="looks-rename")
            delete = gr.Button("Delete", size="sm", min_width=80, interactive=False, elem_id="looks-delete")
    parts = KeptLooks(choice, name, keep, rename, delete)
    return parts._replace(chosen=_connect(parts, _Handlers(library), session, seed))


def _connect(parts: KeptLooks, handlers: "_Handlers", session: Session, seed: gr.Number) -> Dependency:
    quiet = {"show_progress": "hidden"} | CAREFUL
    taken, shown = [session.variant, seed, parts.name], [parts.choice, parts.rename, parts.delete]
    chosen = parts.choice.input(report_errors(handlers.choose), [session.looks, parts.choice], taken, **quiet)
    changed = [session.looks, parts.choice, parts.name]
    inputs = [session.model, session.looks, session.variant, seed, parts.name]
    parts.keep.click(report_errors(handlers.keep), inputs, changed, **quiet)
    inputs = [session.looks, parts.choice, parts.name]
    parts.rename.click(report_errors(handlers.rename), inputs, changed, **quiet)
    parts.delete.click(report_errors(handlers.delete), inputs, changed, **quiet)
    session.looks.change(handlers.show, [session.looks, parts.choice], shown, **LIGHT)
    parts.choice.change(handlers.show, [session.looks, parts.choice], shown, **LIGHT)
    return chosen


class _Handlers:
    """What happens on the server.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    @staticmethod
    def choose(looks: tuple[NamedLook, ...], name: str | None) -> tuple[Any, Any, Any]:
        """The look becomes that of the session."""
        if not name:
            return gr.skip(), gr.skip(), gr.skip()
        look = named(looks, name)
        return look.variant, look.variant.seed, look.name

    def keep(
        self, model_name: str, looks: tuple[NamedLook, ...], look: Variant, seed: float | None, name: str
    ) -> tuple[tuple[NamedLook, ...], gr.Dropdown, str]:
        """The present look under the name that was typed, or one that says what it is."""
        variant, model = with_seed(look, seed), self.library.get(model_name)
        name = clean_name(name) or free_name(looks, look_name(model, variant) or clean_name(base(variant)))
        looks = with_look(looks, name, model.name, variant)
        return looks, _choices(looks, name), name

    @staticmethod
    def rename(looks: tuple[NamedLook, ...], name: str | None, new_name: str) -> tuple[Any, ...]:
        """Another name for the chosen look."""
        looks = renamed(looks, name, new_name)
        return looks, _choices(looks, clean_name(new_name)), clean_name(new_name)

    @staticmethod
    def delete(looks: tuple[NamedLook, ...], name: str | None, _: str) -> tuple[Any, ...]:
        """The list without the chosen look; the picture stays as it is."""
        looks = without(looks, name)
        return looks, _choices(looks, None), ""

    @staticmethod
    def show(looks: tuple[NamedLook, ...], name: str | None) -> tuple[gr.Dropdown, gr.Button, gr.Button]:
        """The list as it is now; what needs a chosen one can be pressed with one."""
        name = name if any(look.name == name for look in looks) else None
        buttons = (gr.Button(interactive=name is not None) for _ in range(2))
        return _choices(looks, name), *buttons


def _choices(looks: tuple[NamedLook, ...], name: str | None) -> gr.Dropdown:
    return gr.Dropdown([look.name for look in looks], value=name, info="choose one to take it" if looks else NONE_YET)


def look_words(noise: FoundNoise | None, model_name: str, fits: bool) -> str:
    """What the page says of a look that was found for a photo; "" for that of a seed."""
    if noise is None:
        return ""
    if not fits:
        return f"The look of {noise.photo} was found with {noise.model or 'another model'} and does not fit this one: "
    words = f"Look of {noise.photo}"
    other = noise.model not in ("", model_name)
    return words + (f", found with {noise.model}: other colours here" if other else "")


__all__ = ["KeptLooks", "kept_looks", "look_words"]
