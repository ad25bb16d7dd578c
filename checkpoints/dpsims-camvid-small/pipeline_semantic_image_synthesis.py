# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Label map in, photo-like images out: a diffusers pipeline over any generator of this package.

It loads from a checkpoint folder or Hub repository alone: the networks and the processor arrive through the Auto
classes, so one pipeline serves every model family, with this package installed or not (`trust_remote_code=True`). An
image is a function of its label map and its seed: noise is drawn per image, on the CPU.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput


# diffusers copies the code of every repository into one folder and runs this file anew, but not the files beside it:
# what an earlier revision or repository left of them must not run with this one.
if __package__ == "diffusers_modules.local":
    _ours = tuple(f"{__package__}.{kind}_" for kind in ("configuration", "image_processing", "modeling", "pipeline"))
    for _name in [name for name in sys.modules if name.startswith(_ours) and name != __name__]:
        del sys.modules[_name]

# diffusers' loader brings what this file imports, and nothing deeper: what those files import stands here as well.
from .configuration_publishing import PublishError  # noqa: E402, F401
from .configuration_rules import shortened  # noqa: E402, F401
from .image_processing_outputs import check_output_type  # noqa: E402
from .modeling_checkpoint_files import check_loaded  # noqa: E402, F401
from .pipeline_checkpoint_folder import check_backbone_ready, check_labels_pixels  # noqa: E402
from .pipeline_generation import Pass, Reports, autocast, forward_passes, generate_images  # noqa: E402
from .pipeline_instances import generator_offsets  # noqa: E402
from .pipeline_loading import CheckpointPipeline  # noqa: E402
from .pipeline_noise import (  # noqa: E402
    Selection,
    check_has_noise,
    draws,
    region_noise,
    seed_noise,
    walk_noise,
)
from .pipeline_stored_checkpoint import StoredCheckpoint  # noqa: E402, F401
from .pipeline_style import match_style  # noqa: E402


@dataclass
class SemanticImageSynthesisOutput(BaseOutput):
    """What the pipeline returns; images of several label maps stand one map after the other.

    Args:
        images: list of PIL images, or an array or tensor as `output_type` says; a list of single ones where the sizes
            of the label maps differ.
        seeds: each image's seed; None where the noise was given, interpolated or drawn from a generator.
        resample_seeds: each image's seed of the re-sampled regions, if any were.
    """

    images: list | np.ndarray | torch.Tensor
    seeds: list[int | None]
    resample_seeds: list[int] | None = None


class SemanticImageSynthesisPipeline(CheckpointPipeline):
    """Semantic image synthesis in one forward pass.

    The generator network is called `generator_model`, since diffusers' word `generator` means a random generator. The
    discriminator is optional and loaded when `segment` first needs it.

    Some pixels of an image can get new noise, while all others keep that of the image's seed (OASIS, App. B.2):

    * `resample_labels`: class names or ids, or a boolean (height, width) mask: one new noise for all these pixels.
    * `resample_regions`: boolean or integer (height, width) mask, of any size: 0 keeps its noise, k > 0 gets the k-th
      new one, so that every object can have its own.
    * `resample_points`: (row, column), or several: one new noise for each connected component of the label map (same
      class, joined by pixel edges) that has a point on it. Points are pixels of the generated image, from 0 at its top
      left, also where the given label map has another size.

    Together, a pixel goes to `resample_regions`, else to its component, else to its class. New noises are numbered: 1
    .. R as in `resample_regions` (R its largest number), R + 1 for `resample_labels` if given, then one per component.
    The k-th noise of a seed is the same whatever else is chosen.

    Args:
        generator_model: label_map, noise -> images.
        processor: decodes label maps and photos, turns generated images into 8 bit.
        discriminator: pixel_values -> segmentation_logits.
    """

    _callback_tensor_inputs = ["images"]
    _interrupt = False

    @property
    def interrupt(self) -> bool:
        """Whether the present call is to end; a callback sets `pipe._interrupt = True` as in diffusers."""
        return self._interrupt

    # -- use ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(
        self,
        label_map: Any,
        seed: int | Sequence[int] | None = None,
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
        callback_on_image_end: Callable[..., None] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        height: int | None = None,
        width: int | None = None,
        callback_on_step_end: Callable[..., dict | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("images",),
    ) -> SemanticImageSynthesisOutput | tuple:
        """Generate images; image i of a label map has seed + i.

        Args:
            label_map: one label map or a list or batch of them: whatever the processor takes. A processor that does
                not resize leaves each its own size.
            seed: of the first image, or one seed per image (their number then is the number of images); None is 0.
            num_images_per_label_map: images per label map.
            noise: instead of seeds (images, noise_dim), or (images, regions, noise_dim) with `resample_regions` as
                the integer map that says which pixel obeys which.
            resample_labels, resample_regions, resample_points: the pixels that get new noise, see the class.
            resample_seed: of the first image's new noise (image i: + i); None derives it from the image's seed. The
                first new noise of a seed is the one that an image of this seed has everywhere.
            output_type: as in diffusers "pil", "np" (floats in [0, 1], height, width, 3) or "pt" (floats in [0, 1], 3,
                height, width); in 8 bit "np_uint8" or "pt_uint8".
            return_dict: a `SemanticImageSynthesisOutput`, else (images, seeds).
            instance_map: for models that take instances, one id per object, 0 is none; one per label map, or one for
                all. None takes every connected region of a class for one object.
            instance_offsets: (label maps, 2, height, width) in its place.
            size: {"height", "width"} instead of the checkpoint's.
            batch_size: images per forward pass. With 1 an image is the same bit for bit whatever is made beside it;
                more is faster on an accelerator and may round differently.
            autocast_dtype: torch.float32 or torch.bfloat16; None takes bfloat16 where the machine is clearly faster
                with it, else float32 (`pipe.generator_model.kept_for_inference().inference_dtype` says which).
            callback_on_image_end: called as callback(pipe, index, total, image) when an image is ready, index in
                0 .. total - 1 in the order of the output's images, the image as one of them (without a batch axis).
                What it raises ends the call.
            generator: in place of `seed`, as in diffusers: one random generator, of which each image takes the next
                draw, or a list with one for each image. The first image of `torch.Generator().manual_seed(s)` is that
                of seed s; the next ones are not those of s + 1, ... New noise comes from it after all images' noise.
            height, width: in place of `size`; one alone leaves the other as it is in the checkpoint.
            callback_on_step_end: as in diffusers, called as callback(pipe, step, timestep, kwargs) after each forward
                pass, which is a step here: step counts them, timestep is 0, and kwargs has "images" (images of the
                pass, 3, height, width) in [-1, 1]. A dict that it returns may replace them. With `pipe._interrupt =
                True` in it, the call ends with the images that there are.
            callback_on_step_end_tensor_inputs: what of kwargs is wanted.

        Raises:
            ValueError: unknown class names, masks, points, sizes or noise that do not fit, re-sampling with a model
                without noise; the message names the remedy.
        """
        self._require_generator()
        check_output_type(output_type)
        model, processor = self.generator_model, self.processor
        selection = Selection(resample_labels, resample_regions, resample_points)
        selection.check(noise, model.config.noise_dim)
        label_maps = self._label_maps(label_map, size, height, width)
        seeding = (seed, generator, noise, resample_seed, not selection.is_empty)
        drawn = draws(model.sample_noise, len(label_maps), num_images_per_label_map, *seeding)
        maps = [selection.region_map(single, processor.id2label) for single in label_maps]
        plans = [
            [region_noise(draw.noise, draw.new_seeds, regions, model.sample_noise)]
            for draw, regions in zip(drawn, maps, strict=True)
        ]
        passes = self._passes(label_maps, plans, instance_map, instance_offsets, batch_size)
        reports = self._reports(callback_on_image_end, callback_on_step_end, callback_on_step_end_tensor_inputs)
        images = generate_images(model, processor, passes, output_type, autocast_dtype, reports)
        seeds = [single for draw in drawn for single in draw.seeds][: len(images)]
        new_seeds = [single for draw in drawn for single in draw.new_seeds or ()][: len(images)] or None
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
        callback_on_image_end: Callable[..., None] | None = None,
        height: int | None = None,
        width: int | None = None,
        mode: str = "spherical",
    ) -> SemanticImageSynthesisOutput | tuple:
        """Walk from one seed's noise to another's, everywhere or in chosen pixels (OASIS, App. B.3).

        Everywhere, the ends are the images of the two seeds. With `resample_` arguments only the pixels that they
        choose (all together, whatever their numbers) walk, and the rest keeps the noise of `seed_from`: the first
        image is that of `seed_from`; for one boolean mask, class or component the last is that of
        `pipe(label_map, seed=seed_from, resample_..., resample_seed=seed_to)`.

        Args:
            label_map: one label map, or several (one walk after the other).
            seed_from, seed_to: the ends.
            steps: images per walk, both ends included; at least 2.
            resample_labels, resample_regions, resample_points: as in `__call__`.
            output_type, return_dict, instance_map, instance_offsets, size, height, width, batch_size, autocast_dtype,
                callback_on_image_end: as in `__call__`.
            mode: "spherical", whose noise has the length that the model was trained on all the way, or "linear", as
                OASIS has it: shorter, hence more ordinary, in the middle.

        Raises:
            ValueError: as `__call__`; also for fewer than 2 steps, and if the model has no noise.
        """
        self._require_generator()
        check_output_type(output_type)
        check_has_noise(self.generator_model.config.noise_dim)
        if steps < 2:
            raise ValueError(f"steps={steps}: an interpolation has at least 2 images, its two ends")
        selection = Selection(resample_labels, resample_regions, resample_points)
        label_maps = self._label_maps(label_map, size, height, width)
        start, end = (seed_noise(self.generator_model.sample_noise, seed) for seed in (seed_from, seed_to))
        maps = [selection.region_map(single, self.processor.id2label) for single in label_maps]
        plans = [walk_noise(start, end, steps, not selection.is_empty, regions, mode) for regions in maps]
        passes = self._passes(label_maps, plans, instance_map, instance_offsets, batch_size)
        reports = self._reports(callback_on_image_end)
        images = generate_images(self.generator_model, self.processor, passes, output_type, autocast_dtype, reports)
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
            autocast_dtype: torch.bfloat16 for mixed precision; None computes in float32.

        Returns:
            (height, width) int64 on the CPU for one photo, (batch, height, width) for several.

        Raises:
            ValueError: if there is no discriminator or it labels no pixels, its backbone's weights are not in the
                checkpoint, or the size does not fit: the discriminator may need sides that are multiples of more than
                the generator does.
        """
        discriminator = self.load_discriminator()
        check_labels_pixels(discriminator)
        check_backbone_ready(discriminator)
        self._require_generator()
        pixel_values = self.processor(images=photo, size=size)["pixel_values"]
        pixel_values = pixel_values.to(discriminator.device, discriminator.dtype)
        discriminator.eval()
        parts = []
        for single in pixel_values.split(1):  # alone: its labels do not depend on the photos beside it
            with autocast(discriminator.device, autocast_dtype):
                logits = discriminator(single).segmentation_logits
            parts.append(logits[:, :-1].argmax(dim=1).cpu())
        label_map = torch.cat(parts)
        several = isinstance(photo, (list, tuple)) or getattr(photo, "ndim", 0) == 4
        return label_map if several else label_map[0]

    match_style = match_style

    # -- the steps of it ------------------------------------------------------------------------------------------

    def _label_maps(
        self, label_map: Any, size: dict[str, int] | None, height: int | None, width: int | None
    ) -> list[torch.Tensor]:
        """(height, width) int64 of each."""
        if height is not None or width is not None:
            if size is not None:
                raise ValueError("size and height or width are given: give one of them")
            own = self.processor.size if self.processor.do_resize else None
            if own is None and (height is None or width is None):
                raise ValueError(f"height={height}, width={width}: this checkpoint has no size of its own; give both")
            own = own or {}
            size = {
                "height": own["height"] if height is None else height,
                "width": own["width"] if width is None else width,
            }
        return [torch.from_numpy(single) for single in self.processor.decode_label_maps(label_map, size)]

    def _passes(
        self,
        label_maps: list[torch.Tensor],
        plans: list,
        instance_map: Any,
        offsets: torch.Tensor | None,
        batch_size: int,
    ) -> list[Pass]:
        config = self.generator_model.config
        return forward_passes(
            label_maps, plans, generator_offsets(config, label_maps, instance_map, offsets, self.processor), batch_size
        )

    def _reports(
        self,
        on_image_end: Callable[..., None] | None,
        on_step_end: Callable[..., dict | None] | None = None,
        tensor_inputs: Sequence[str] = ("images",),
    ) -> Reports:
        known = self._callback_tensor_inputs
        unknown = [name for name in tensor_inputs if name not in known]
        if unknown:
            raise ValueError(f"callback_on_step_end_tensor_inputs: no {unknown[0]!r}; there are {', '.join(known)}")

        def after_step(step: int, tensors: dict[str, torch.Tensor]) -> dict | None:
            return on_step_end and on_step_end(self, step, 0, {name: tensors[name] for name in tensor_inputs})

        self._interrupt = False
        on_image_end = None if on_image_end is None else partial(on_image_end, self)
        after = None if on_step_end is None else after_step
        return Reports(self.progress_bar, on_image_end, after, lambda: self._interrupt)


__all__ = ["SemanticImageSynthesisOutput", "SemanticImageSynthesisPipeline"]
