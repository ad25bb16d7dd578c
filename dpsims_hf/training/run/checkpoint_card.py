# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The card of a training checkpoint: hub/template.md, filled with what the run knows about itself."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from huggingface_hub import EvalResult
from transformers import BaseImageProcessor, PreTrainedModel

from ...configuration_rules import inert
from ...data import DatasetSpec
from ...hub.card import fill_model_card
from ..options import RunOptions


SAMPLES = "samples.png"  # beside the card
LIMITS = (
    "The classes and the kind of scenes of its training set, at about the size that it was trained at. A training "
    "checkpoint: how good it is, the samples and numbers above say."
)


class CardWriter:
    """Fills the card for each checkpoint of a run.

    Args:
        options: of the run.
        spec: of the data; its terms go into the card.
        num_images: training images, None if that is not known (a stream).
        accelerator: of the run.
    """

    def __init__(
        self,
        options: RunOptions,
        spec: DatasetSpec,
        num_images: int | None,
        accelerator: Accelerator,
    ) -> None:
        self.options, self.spec, self.num_images = options, spec, num_images
        self.hardware = describe_hardware(accelerator)
        self.processes = accelerator.num_processes
        self._measured: dict[str, Any] = {}

    def measured(self, step: int, values: dict[str, float], num_images: int, split_images: int) -> None:
        """Keep the validation of a step, "PROTOCOL/VALUE" -> number, for the next card."""
        self._measured = {
            "step": step,
            "values": values,
            "num_images": num_images,
            "split_images": split_images,
        }

    def write(
        self,
        step: int,
        generator: PreTrainedModel,
        processor: BaseImageProcessor,
        discriminator: PreTrainedModel | None,
        include_backbone: bool,
        pictures: Container[str],
    ) -> str:
        """The text of the card of `checkpoint-STEP`."""
        training = self.options.training
        batch = training.batch_size * training.gradient_accumulation_steps * self.processes
        repository = self._repository
        images = "" if self.num_images is None else f", {self.num_images} images"
        height, width = self.options.data.image_size
        return fill_model_card(
            generator,
            processor,
            discriminator,
            include_backbone=include_backbone,
            name=f"{self.options.generator_family} on {inert(self.spec.name)}",
            data=f"Trained on {inert(self.spec.name)}{f' (`{repository}`)' if repository else ''}{images}.",
            data_terms=inert(self.spec.license_note) or "The terms of the training data are not stated.",
            steps=f"{step} of {training.max_train_steps}, batch {batch}, crops of {height}x{width}",
            hardware=self.hardware,
            training=self._training(step),
            results=self._results(),
            eval_results=self._eval_results(),
            limits=LIMITS,
            samples=f"![Label map, photo, generated images]({SAMPLES})" if SAMPLES in pictures else "",
            license=self.options.launch.license,
            datasets=[repository] if repository and "/" in repository else None,
        )

    @property
    def _repository(self) -> str | None:
        """Name of the data on the Hub; the path of a local folder is not published."""
        name = self.options.inputs.dataset_name
        return None if name and (Path(name).exists() or name.startswith(("/", ".", "~"))) else name

    def _training(self, step: int) -> str:
        changed = [key for key in self.options.flat() if self.options.source(key).startswith("--")]
        base = f"Recipe `{self.options.recipe}`" if self.options.recipe else "The options of an earlier run"
        recipe = base + (f" with other {', '.join(changed)}" if changed else "")
        return (
            f"{recipe}; `training_options.json` of the run has every option and its source. These are the "
            f"averaged weights (decay {self.options.training.ema_decay:g}) after step {step}."
        )

    def _results(self) -> str:
        if not self._measured:
            return "Not measured."
        kept = self._measured
        share = f"{kept['num_images']} of {kept['split_images']} label maps of the validation split"
        rows = [f"| {name.replace('/', ' | ')} | {value:.4g} |" for name, value in sorted(kept["values"].items())]
        head = f"Measured during training, after step {kept['step']}, on {share}:"
        return "\n".join([head, "", "| protocol | value | |", "|---|---|---|", *rows])

    def _eval_results(self) -> list[EvalResult] | None:
        """For `model-index`: values of the whole split only; those of a part compare with nothing."""
        kept = self._measured
        if not kept or kept["num_images"] < kept["split_images"]:
            return None
        return [
            EvalResult(
                task_type="image-to-image",
                task_name="Semantic image synthesis",
                dataset_type=self._repository or self.spec.name,
                dataset_name=self.spec.name,
                dataset_split="validation",
                metric_type=protocol,
                metric_name=f"{value} ({protocol})",
                metric_value=number,
                metric_args={"num_images": kept["num_images"], "step": kept["step"]},
            )
            for (protocol, _, value), number in (
                (name.partition("/"), number)
                for name, number in sorted(kept["values"].items())
                if not name.endswith("_real_photos")  # no result of the model
            )
        ]


def describe_hardware(accelerator: Accelerator) -> str:
    """Number and kind of the devices."""
    if accelerator.device.type == "cuda":
        return f"{accelerator.num_processes} x {torch.cuda.get_device_name(accelerator.device)}"
    return f"{accelerator.num_processes} process(es) on {accelerator.device.type}"


__all__ = ["SAMPLES", "CardWriter", "describe_hardware"]
