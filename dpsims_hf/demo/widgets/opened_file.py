# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Opens a file on the page: a label map, or settings that a page like this one saved, alone or in their zip file."""

from typing import Any

import gradio as gr

from ..canvas.label_canvas import LabelCanvas
from ..canvas.model_classes import model_classes
from ..drawing.named_looks import NamedLook, joined
from ..drawing.saved_files import Saved, is_saved_file, opened, read_saved
from ..drawing.scenes import MAX_IMAGES, file_stem
from ..drawing.variants import Grid, Planned
from ..models.library import LoadedModel, ModelLibrary
from ..server.events import TOAST_SECONDS
from ..uploads.label_files import read_label_file


class Opener:
    """What happens on the server.

    Args:
        library: the models.
    """

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library

    def open(self, model_name: str, looks: tuple[NamedLook, ...], path: str | None) -> tuple[Any, ...]:
        """Session model, picker, canvas, name, seed, variant, grid, looks: what the file says of each.

        Raises:
            ValueError: no such file, a damaged or dangerous one; one line.
        """
        if path is None:
            raise ValueError("no file arrived: open it again")
        present = self.library.get(model_name)
        return self._saved(present, looks, path) if is_saved_file(path) else self._label_map(present, path)

    @staticmethod
    def _label_map(model: LoadedModel, path: str) -> tuple[Any, ...]:
        """A label map onto the canvas; all else stays."""
        file = read_label_file(path, model.processor)
        for note in file.notes:
            gr.Warning(note)
        canvas, name = model.fit(file.label_map), file_stem(file.name)
        return gr.skip(), gr.skip(), canvas, name, *(gr.skip() for _ in range(4))

    def _saved(self, present: LoadedModel, looks: tuple[NamedLook, ...], path: str) -> tuple[Any, ...]:
        """Everything that was saved. A map on the canvas before can be undone to."""
        saved = read_saved(path)
        model = self._model(present, saved)
        scene, variants, notes = opened(model, saved)
        gr.Info(". ".join([f"Opened {scene.name}", *notes]) + ".", duration=TOAST_SECONDS)
        is_same = model.name == present.name
        canvas = scene.label_map if is_same else LabelCanvas(scene.label_map, **model_classes(model))
        plan = tuple(Planned((variant,)) for variant in variants[:MAX_IMAGES]) if len(variants) > 1 else ()
        look = variants[0]
        kept = joined(looks, saved.looks)
        grid = Grid(plan=plan)
        name = gr.skip() if is_same else model.name
        return name, model.name, canvas, scene.name, look.seed, look, grid, kept

    def _model(self, present: LoadedModel, saved: Saved) -> LoadedModel:
        """The model of the file if the page offers it; a file has no model fetched or a folder opened."""
        return self.library.get(saved.model) if saved.model in self.library.names else present


__all__ = ["Opener"]
