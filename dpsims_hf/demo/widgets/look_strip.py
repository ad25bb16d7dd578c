# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The looks that come with a model, as thumbnails of the present scene: a click takes one.

They are drawn late and small: while somebody paints, none is.
"""

import base64
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency
from PIL import Image

from ..drawing.look_previews import draw_previews, previews_key, with_look
from ..drawing.scenes import Scene, Variant
from ..models.library import LoadedModel, ModelLibrary
from ..models.model_looks import ModelLook
from ..server.components import WithoutStub
from ..server.events import CAREFUL, HEAVY, LIGHT, on_gpu, report_errors
from .session import SESSION_SECONDS, Session


TITLE = "Looks of this model"
PREVIEWS = {"concurrency_id": "previews", "concurrency_limit": 8, "api_visibility": "private"}
QUALITY = 85  # of a thumbnail's JPEG
_FOLDER = Path(__file__).parent


class LookStrip(gr.HTML, metaclass=WithoutStub):
    """Buttons with a picture and a name each.

    `want` is when the pictures are missing and nobody paints; `select` is a click, with the name as its value.

    Args:
        value: looks.
        seed: CSS selector of the input that tells the seed looked at; the look of that seed is marked. "" marks none.
        follows: CSS selector of what shows the scene, "" for the whole tab; when it changes, the pictures are out of
            date.
        label: what stands over them.
    """

    def __init__(
        self,
        value: Sequence[dict[str, str]] | None = None,
        *,
        seed: str = "",
        follows: str = "",
        label: str = TITLE,
        elem_id: str | None = None,
        elem_classes: list[str] | str | None = None,
        visible: bool = True,
        render: bool = True,
        key: int | str | None = None,
    ) -> None:
        super().__init__(
            value,
            label=label,
            html_template=(_FOLDER / "look_strip.html").read_text(encoding="utf-8"),
            js_on_load=(_FOLDER / "look_strip.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            elem_id=elem_id,
            elem_classes=elem_classes,
            visible=visible,
            render=render,
            key=key,
            seed=seed,
            follows=follows,
        )

    def postprocess(self, value: Sequence[dict[str, str]] | None) -> list[dict[str, str]] | None:
        """What the browser gets."""
        return None if value is None else list(value)

    def api_info(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "object"}}

    def example_payload(self) -> Any:
        return []

    def example_value(self) -> Any:
        return []


class LookPicker:
    """The strip of a tab with its events.

    Args:
        library: the models.
        session: whose model and look it is about.
        elem_id: of the strip.
        follows, seed: see `LookStrip`.
    """

    def __init__(
        self, library: ModelLibrary, session: Session, elem_id: str, follows: str = "", seed: str = ""
    ) -> None:
        self.library, self.session = library, session
        names = strip_value(library.default.looks)
        self.strip = LookStrip(names, follows=follows, seed=seed, elem_id=elem_id, elem_classes="look-strip-block")
        self.drawn = gr.State("", time_to_live=SESSION_SECONDS)  # what the pictures show
        strip = self.strip
        session.model.change(self._names, session.model, [strip, self.drawn], **LIGHT)

    def previews(
        self, scene: Callable[..., tuple[LoadedModel, Scene, Variant]], inputs: Sequence[Component]
    ) -> Dependency:
        """Draw them when they are wanted; the event, for what cancels it.

        Args:
            scene: inputs -> what the tab shows; a ValueError if there is nothing.
            inputs: components.
        """

        def draw(drawn: str, *values: Any) -> tuple[Any, Any]:
            try:
                model, present, variant = scene(*values)
                key = previews_key(model, present, variant)
                # Not on a GPU that is lent by the second: nobody asked for them.
                if key == drawn or not model.looks or os.environ.get("SPACES_ZERO_GPU"):
                    return gr.skip(), gr.skip()
                return strip_value(model.looks, draw_previews(model, present, variant)), key
            except ValueError:  # names alone will do
                return gr.skip(), gr.skip()

        quiet = {"show_progress": "hidden", "trigger_mode": "always_last"} | PREVIEWS
        return self.strip.want(on_gpu(draw), [self.drawn, *inputs], [self.strip, self.drawn], **quiet)

    def taken(
        self, take: Callable[..., Any], inputs: Sequence[Component], outputs: Sequence[Component], draws: bool = False
    ) -> Dependency:
        """A click.

        Args:
            take: model, the look's variant and the inputs -> outputs.
            inputs, outputs: components.
            draws: whether `take` runs the model.
        """

        def handler(event: gr.SelectData, model_name: str, variant: Variant, *values: Any) -> Any:
            model = self.library.get(model_name)
            look = next((look for look in model.looks if look.name == event.value), None)
            if look is None:
                raise ValueError(f"{model.name} has no such look: reload the page")
            return take(model, with_look(variant, look), *values)

        session = self.session
        sent, run = [session.model, session.variant, *inputs], report_errors(handler)
        options = {"show_progress": "hidden"} | (HEAVY if draws else CAREFUL)
        return self.strip.select(on_gpu(run) if draws else run, sent, list(outputs), **options)

    def _names(self, model_name: str) -> tuple[LookStrip, str]:
        return LookStrip(strip_value(self.library.get(model_name).looks)), ""


def strip_value(looks: Sequence[ModelLook], pictures: Sequence[Image.Image] = ()) -> list[dict[str, str]]:
    """The value of a strip: names and seeds, and pictures where they are drawn."""
    images = [_picture(picture) for picture in pictures] or [""] * len(looks)
    return [
        {"name": look.name, "seed": str(look.seed), "image": image} for look, image in zip(looks, images, strict=True)
    ]


def _picture(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


__all__ = ["LookPicker", "LookStrip", "strip_value"]
