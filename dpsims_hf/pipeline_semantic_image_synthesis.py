# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label map in, photo-like images out: a diffusers pipeline over any generator of this package.

It loads from a checkpoint folder or Hub repository alone: the networks and the processor arrive through the Auto
classes, so one pipeline serves every model family, with this package installed or not (`trust_remote_code=True`). An
image is a function of its label map and its seed: noise is drawn per image, on the CPU.
"""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    BaseImageProcessor,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import cached_file

from .configuration_rules import shortened  # diffusers' loader brings what this file imports, and nothing deeper
from .pipeline_checkpoint_folder import (
    DISCRIMINATOR_FOLDER,
    check_config_file,
    check_folder,
    check_processor_file,
    write_components,
)
from .pipeline_instances import batch_instance_offsets
from .pipeline_noise import Selection, check_has_noise, image_seeds, region_noise, resample_seeds, walk_noise


QUIET_PASSES = 16  # no progress bar below this many forward passes


@dataclass
class SemanticImageSynthesisOutput(BaseOutput):
    """What the pipeline returns; images of several label maps stand one map after the other.

    Args:
        images: list of PIL images, or uint8 (batch, height, width, 3) for "np", (batch, 3, height, width) for "pt".
        seeds: each image's seed; None where the noise was given or interpolated.
        resample_seeds: each image's seed of the re-sampled regions, if any were.
    """

    images: list | np.ndarray | torch.Tensor
    seeds: list[int | None]
    resample_seeds: list[int] | None = None


class SemanticImageSynthesisPipeline(DiffusionPipeline):
    """Semantic image synthesis in one forward pass.

    The generator network is called `generator_model`, since diffusers' word `generator` means a random generator. The
    discriminator is optional and loaded when `segment` first needs it.

    Args:
        generator_model: label_map, noise -> images.
        processor: decodes label maps and photos, turns generated images into 8 bit.
        discriminator: pixel_values -> segmentation_logits.
    """

    # All optional, and null in model_index.json: diffusers' own loader then builds the pipeline bare and tells it
    # where it came from (`register_to_config` below); it could not load flat, remote-code components itself.
    _optional_components = ["generator_model", "processor", "discriminator"]
    model_cpu_offload_seq = "generator_model"

    def __init__(
        self,
        generator_model: PreTrainedModel | None = None,
        processor: BaseImageProcessor | None = None,
        discriminator: PreTrainedModel | None = None,
    ) -> None:
        super().__init__()
        self._source: tuple[str, dict[str, Any]] | None = None
        self.register_modules(generator_model=generator_model, processor=processor, discriminator=discriminator)

    # -- loading and saving ---------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        device: str | torch.device | None = None,
        trust_remote_code: bool = False,
        load_discriminator: bool = False,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike | None = None,
        local_files_only: bool = False,
    ) -> "SemanticImageSynthesisPipeline":
        """Load a checkpoint folder or Hub repository, in float32.

        Args:
            pretrained_model_name_or_path: folder or repository.
            device: where the networks go; None leaves them on the CPU.
            trust_remote_code: run the checkpoint's own code; not needed while `dpsims_hf` is imported.
            load_discriminator: load it now instead of at the first `segment`.
            revision, token, cache_dir, local_files_only: as everywhere on the Hub.

        Raises:
            ValueError: if a local folder is missing or is no checkpoint folder, or a file of the checkpoint asks for
                what no such model has.
        """
        source = os.fspath(pretrained_model_name_or_path)
        check_folder(source)
        options = {"trust_remote_code": trust_remote_code, "revision": revision, "token": token}
        options |= {"cache_dir": cache_dir, "local_files_only": local_files_only}
        pipeline = cls()
        pipeline._load_components(source, options)
        pipeline.register_to_config(_name_or_path=source)
        if load_discriminator:
            pipeline.load_discriminator()
        return pipeline if device is None else pipeline.to(device)

    def register_to_config(self, **kwargs: Any) -> None:
        """Record config entries; the last one that `DiffusionPipeline.from_pretrained` records names the source."""
        super().register_to_config(**kwargs)
        source = kwargs.get("_name_or_path")
        if source is not None and self._source is None and self.generator_model is None:
            # This file runs as diffusers' dynamic module only after the user trusted the repository's code.
            trusted = __name__.startswith("diffusers_modules.")
            self._load_components(os.fspath(source), {"trust_remote_code": trusted})

    def _load_components(self, source: str, options: dict[str, Any]) -> None:
        self._source = (source, options)
        check_config_file(source, **options)
        check_processor_file(source, **options)
        processor = AutoImageProcessor.from_pretrained(source, **options)  # first: a wrong one costs no weights
        self.generator_model = AutoModel.from_pretrained(source, **options)
        self.processor = processor
        labels = self.generator_model.config.num_labels
        if self.processor.num_labels != labels:
            raise ValueError(
                f"{shortened(source)}: preprocessor_config.json names {self.processor.num_labels} classes, and the "
                f"generator has {labels}; they are not of one model"
            )

    def load_discriminator(self) -> PreTrainedModel:
        """Load the checkpoint's discriminator, once, to the generator's device.

        Raises:
            ValueError: if the checkpoint has no discriminator.
        """
        if self.discriminator is None:
            self.discriminator = self._stored_discriminator()
        if self.discriminator is None:
            origin = "this pipeline" if self._source is None else f"the checkpoint {self._source[0]!r}"
            raise ValueError(f"{origin} has no discriminator; take a checkpoint with a {DISCRIMINATOR_FOLDER}/ folder")
        return self.discriminator

    def stored_discriminator_config(self) -> PreTrainedConfig | None:
        """The config of the checkpoint's discriminator, which is not built for it; None if there is none."""
        if self._source is None:
            return None
        source, options = self._source
        where = {name: value for name, value in options.items() if name != "trust_remote_code"}
        where |= {"subfolder": DISCRIMINATOR_FOLDER, "_raise_exceptions_for_missing_entries": False}
        if cached_file(source, "config.json", **where) is None:
            return None
        check_config_file(source, subfolder=DISCRIMINATOR_FOLDER, **options)
        return AutoConfig.from_pretrained(source, subfolder=DISCRIMINATOR_FOLDER, **options)

    def _stored_discriminator(self) -> PreTrainedModel | None:
        """The checkpoint's discriminator; None if it has none."""
        if self.stored_discriminator_config() is None:
            return None
        source, options = self._source
        loaded = AutoModel.from_pretrained(source, subfolder=DISCRIMINATOR_FOLDER, **options)
        return loaded.to(self.generator_model.device)

    def save_pretrained(self, save_directory: str | os.PathLike, include_backbone: bool | None = None) -> None:
        """Write a checkpoint folder (without a card) that loads through this class and through the Auto classes.

        Args:
            save_directory: made if it does not exist.
            include_backbone: put the weights of the discriminator's frozen backbone inside; None does as the
                checkpoint did that it came from.
        """
        self._require_generator()
        if self.discriminator is None:
            self.discriminator = self._stored_discriminator()
        if include_backbone is None:
            include_backbone = getattr(getattr(self.discriminator, "config", None), "backbone_in_checkpoint", False)
        write_components(save_directory, self.generator_model, self.processor, self.discriminator, include_backbone)

    # -- use ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(
        self,
        label_map: Any,
        seed: int | Sequence[int] = 0,
        num_images_per_label_map: int = 4,
        noise: torch.Tensor | None = None,
        resample_labels: Sequence[str | int] | np.ndarray | torch.Tensor | None = None,
        resample_regions: np.ndarray | torch.Tensor | None = None,
        resample_points: Sequence | np.ndarray | torch.Tensor | None = None,
        resample_seed: int | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        instance_map: Any = None,
        instance_offsets: torch.Tensor | None = None,
        size: dict[str, int] | None = None,
        batch_size: int = 1,
        autocast_dtype: torch.dtype | None = None,
    ) -> SemanticImageSynthesisOutput | tuple:
        """Generate images; image i of a label map has seed + i.

        The three `resample_` arguments choose pixels that get new noise; all others keep the noise of their image's
        seed (OASIS, App. B.2). Together, a pixel goes to `resample_regions`, else to its component, else to its class.
        New noises are numbered: 1 .. R as in `resample_regions` (R its largest number), R + 1 for `resample_labels` if
        given, then one per component. The k-th noise of a seed is the same whatever else is chosen.

        Args:
            label_map: one label map or a list or batch of them: whatever the processor takes.
            seed: of the first image, or one seed per image (their number then is the number of images).
            num_images_per_label_map: images per label map.
            noise: instead of seeds (images, noise_dim), or (images, regions, noise_dim) with `resample_regions` as
                the integer map that says which pixel obeys which.
            resample_labels: class names or ids, or a boolean (height, width) mask: one new noise for all these pixels.
            resample_regions: boolean or integer (height, width) mask, of any size: 0 keeps its noise, k > 0 gets the
                k-th new one, so that every object can have its own.
            resample_points: (row, column), or several: one new noise for each connected component of the label map
                (same class, joined by pixel edges) that has a point on it. Points are pixels of the generated image,
                from 0 at its top left, also where the given label map has another size.
            resample_seed: of the first image's new noise (image i: + i); None derives it from the image's seed. The
                first new noise of a seed is the one that an image of this seed has everywhere.
            output_type: "pil", "np" or "pt".
            return_dict: a `SemanticImageSynthesisOutput`, else (images, seeds).
            instance_map: for models that take instances, one id per object, 0 is none; one per label map, or one for
                all. None takes every connected region of a class for one object.
            instance_offsets: (label maps, 2, height, width) in its place.
            size: {"height", "width"} instead of the checkpoint's.
            batch_size: images per forward pass. With 1 an image is the same bit for bit whatever is made beside it;
                more is faster on an accelerator and may round differently.
            autocast_dtype: torch.bfloat16 for mixed precision; None computes in float32.

        Raises:
            ValueError: unknown class names, masks, points, sizes or noise that do not fit, re-sampling with a model
                without noise; the message names the remedy.
        """
        self._require_generator()
        selection = Selection(resample_labels, resample_regions, resample_points)
        selection.check(noise, self.generator_model.config.noise_dim)
        label_maps = self.processor(label_maps=label_map, size=size)["label_map"]
        seeds = image_seeds(seed, num_images_per_label_map, noise)
        drawn = not selection.is_empty and (noise is None or noise.ndim == 2)
        new_seeds = resample_seeds(seeds, resample_seed) if drawn else None
        base = torch.cat([self._seed_noise(s) for s in seeds]) if noise is None else noise
        maps = [selection.region_map(single, self.processor.id2label) for single in label_maps]
        plans = [[region_noise(base, new_seeds, regions, self.generator_model.sample_noise)] for regions in maps]
        offsets = self._offsets(label_maps, instance_map, instance_offsets)
        images = self._generate(label_maps, plans, offsets, batch_size, output_type, autocast_dtype)
        seeds, new_seeds = seeds * len(label_maps), new_seeds and new_seeds * len(label_maps)
        return SemanticImageSynthesisOutput(images, seeds, new_seeds) if return_dict else (images, seeds)

    @torch.no_grad()
    def interpolate(
        self,
        label_map: Any,
        seed_from: int = 0,
        seed_to: int = 7,
        steps: int = 8,
        resample_labels: Sequence[str | int] | np.ndarray | torch.Tensor | None = None,
        resample_regions: np.ndarray | torch.Tensor | None = None,
        resample_points: Sequence | np.ndarray | torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        instance_map: Any = None,
        instance_offsets: torch.Tensor | None = None,
        size: dict[str, int] | None = None,
        batch_size: int = 1,
        autocast_dtype: torch.dtype | None = None,
    ) -> SemanticImageSynthesisOutput | tuple:
        """Walk from one seed's noise to another's on the sphere, everywhere or in chosen pixels (OASIS, App. B.3).

        Everywhere, the ends are the images of the two seeds. With `resample_` arguments only the pixels that they
        choose (all together, whatever their numbers) walk, and the rest keeps the noise of `seed_from`: the first
        image is that of `seed_from`; for one boolean mask, class or component the last is that of
        `pipe(label_map, seed=seed_from, resample_..., resample_seed=seed_to)`.

        Args:
            label_map: one label map, or several (one walk after the other).
            seed_from, seed_to: the ends.
            steps: images per walk, both ends included; at least 2.
            resample_labels, resample_regions, resample_points: as in `__call__`.
            output_type, return_dict, instance_map, instance_offsets, size, batch_size, autocast_dtype: as in
                `__call__`.

        Raises:
            ValueError: as `__call__`; also for fewer than 2 steps, and if the model has no noise.
        """
        self._require_generator()
        check_has_noise(self.generator_model.config.noise_dim)
        if steps < 2:
            raise ValueError(f"steps={steps}: an interpolation has at least 2 images, its two ends")
        selection = Selection(resample_labels, resample_regions, resample_points)
        label_maps = self.processor(label_maps=label_map, size=size)["label_map"]
        start, end = (self._seed_noise(seed) for seed in (seed_from, seed_to))
        maps = [selection.region_map(single, self.processor.id2label) for single in label_maps]
        plans = [walk_noise(start, end, steps, not selection.is_empty, regions) for regions in maps]
        offsets = self._offsets(label_maps, instance_map, instance_offsets)
        images = self._generate(label_maps, plans, offsets, batch_size, output_type, autocast_dtype)
        seeds = [seed_from] + [None] * (steps - 2) + [seed_to if selection.is_empty else None]
        seeds *= len(label_maps)
        return SemanticImageSynthesisOutput(images, seeds) if return_dict else (images, seeds)

    @torch.no_grad()
    def segment(
        self, photo: Any, size: dict[str, int] | None = None, autocast_dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Label a photo by the discriminator (its "fake" channel left out), loading it if need be.

        Args:
            photo: one photo, or a list or batch of them: whatever the processor takes.
            size: {"height", "width"} to work at instead of the checkpoint's.
            autocast_dtype: as in `__call__`.

        Returns:
            (height, width) int64 on the CPU for one photo, (batch, height, width) for several.

        Raises:
            ValueError: if there is no discriminator, its backbone's weights are not in the checkpoint, or the size
                does not fit: the discriminator may need sides that are multiples of more than the generator does.
        """
        discriminator = self.load_discriminator()
        if not getattr(discriminator, "backbone_ready", True):
            name = getattr(discriminator.config, "backbone", "unknown")
            remedy = getattr(discriminator, "backbone_remedy", "load_backbone_weights() first")
            raise ValueError(
                f"the discriminator's backbone {name!r} has no weights in this checkpoint; call "
                f"pipe.discriminator.{remedy}"
            )
        self._require_generator()
        pixel_values = self.processor(images=photo, size=size)["pixel_values"].to(discriminator.device)
        discriminator.eval()
        parts = []
        for single in pixel_values.split(1):  # alone: its labels do not depend on the photos beside it
            with self._autocast(discriminator.device, autocast_dtype):
                logits = discriminator(single).segmentation_logits
            parts.append(logits[:, :-1].argmax(dim=1).cpu())
        label_map = torch.cat(parts)
        several = isinstance(photo, (list, tuple)) or getattr(photo, "ndim", 0) == 4
        return label_map if several else label_map[0]

    # -- the steps of it ------------------------------------------------------------------------------------------

    def _require_generator(self) -> None:
        if self.generator_model is None or self.processor is None:
            raise ValueError("this pipeline is empty; load it by from_pretrained, or pass generator_model, processor")

    def _seed_noise(self, seed: int) -> torch.Tensor:
        """(1, noise_dim): what `sample_noise` gives for this seed."""
        return self.generator_model.sample_noise(1, generator=torch.Generator().manual_seed(seed))

    def _offsets(self, label_maps: torch.Tensor, instance_map: Any, given: Any) -> torch.Tensor | None:
        """(label maps, 2, height, width) for a model that takes instances, else None."""
        if not getattr(self.generator_model.config, "use_instance_offsets", False):
            if instance_map is not None:
                raise ValueError("this model takes no instances: leave instance_map out")
            return given
        if given is not None:
            return given
        return batch_instance_offsets(label_maps, instance_map, self.processor)

    def _generate(
        self, label_maps: torch.Tensor, plans: list, offsets: Any, batch_size: int, output_type: str, autocast: Any
    ) -> Any:
        """Follow every label map's plan, [(noise of some images, map of its rows or None)], and join the images."""
        jobs = [
            (single, part, regions, None if offsets is None else offsets[index])
            for index, (single, plan) in enumerate(zip(label_maps, plans, strict=True))
            for noise, regions in plan
            for part in noise.split(batch_size)
        ]
        model, device = self.generator_model.eval(), self.generator_model.device
        parts = []
        for label_map, noise, regions, offset in jobs if len(jobs) < QUIET_PASSES else self.progress_bar(jobs):
            count = len(noise)
            inputs = {"noise": noise.to(device), "label_map": label_map, "noise_regions": regions}
            inputs["instance_offsets"] = None if offset is None else torch.as_tensor(offset)
            for name in ("label_map", "noise_regions", "instance_offsets"):
                if inputs[name] is not None:
                    inputs[name] = inputs[name].to(device).expand(count, *inputs[name].shape)
            with self._autocast(device, autocast):
                images = model(**inputs).images
            parts.append(self.processor.postprocess(images.float(), output_type))
        if output_type == "pil":
            return [image for part in parts for image in part]
        return np.concatenate(parts) if output_type == "np" else torch.cat(parts)

    @staticmethod
    def _autocast(device: torch.device, dtype: torch.dtype | None) -> Any:
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


__all__ = ["SemanticImageSynthesisOutput", "SemanticImageSynthesisPipeline"]
