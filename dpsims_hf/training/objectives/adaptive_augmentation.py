# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Adaptive discriminator augmentation for small sets (Karras et al., NeurIPS 2020, Sec. 2, 3, App. B), with labels.

Real and generated images go through the same random, differentiable change before the discriminator sees them, and the
label map is moved along (nearest). So D cannot learn the few real images by heart, and G, judged through the same
change, does not imitate it as long as it is not applied too often. What differs from the paper: pixels that come from
outside the picture are its mirror image in the photo, and void in the label map (mirrored as well in label spaces
without void), which the class-balanced losses leave out; bilinear sampling without the wavelet filters; r_t per pixel.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch.nn import functional as F


ADA_KINDS = ("blit", "geometric", "color")
INTERVAL = 4  # optimizer steps between changes of the probability (Sec. 3)
MAX_PROBABILITY = 0.8  # beyond it the augmentation shows in the generated images (Sec. 2.2)
UNIFORM, NORMAL = 24, 8  # draws per image, whatever is switched on


class AdaptiveAugmentation:
    """Changes images and label maps, and adapts how often.

    Args:
        target: r_t to hold; 0 keeps `probability`.
        probability: of each single change, at the start.
        images: real images that D sees while the probability goes from 0 to 1 at the fastest.
        kinds: "blit" (mirror image, quarter turns of square pictures, shift by whole pixels), "geometric" (scale,
            stretch, rotation, shift), "color" (brightness, contrast, luma flip, hue, saturation).
        void_label_id: label of pixels from outside the picture; None mirrors the label map there.
    """

    def __init__(
        self,
        target: float = 0.0,
        probability: float = 0.0,
        images: int = 500_000,
        kinds: Sequence[str] = ADA_KINDS,
        void_label_id: int | None = None,
    ) -> None:
        self.target, self.probability, self.images = target, probability, images
        self.kinds, self.void_label_id = tuple(kinds), void_label_id
        self._sign = 0.0  # r_t of the last full interval
        self._steps = 0
        self._window: torch.Tensor | None = None  # sum of signs, images; of all processes, since the last change
        self._step: torch.Tensor | None = None  # the same of this process, since the last update

    def __call__(
        self,
        label_map: torch.Tensor,
        images: Sequence[torch.Tensor],
        rng: torch.Generator | Sequence[torch.Generator],
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Change a batch.

        Args:
            label_map: (batch, height, width) int64.
            images: one or more (batch, 3, height, width) in [-1, 1] that belong to it, the real and the generated
                ones; all get the same change, image by image.
            rng: CPU generators, one per image of the batch, or one for all.

        Returns:
            The label map and the images, changed; gradients go through the images.
        """
        count, height, width = label_map.shape
        rngs = [rng] * count if isinstance(rng, torch.Generator) else list(rng)
        uniform = torch.stack([torch.rand(UNIFORM, generator=one) for one in rngs])
        normal = torch.stack([torch.randn(NORMAL, generator=one) for one in rngs])
        images = tuple(images)
        matrices, moved = self._geometry(uniform, normal, (height, width))
        if moved.any():
            label_map, images = self._warp(label_map, images, matrices, moved)
        colors, colored = self._colors(uniform, normal)
        if colored.any():
            images = tuple(_recolor(batch, colors, colored) for batch in images)
        return label_map, images

    # -- probability ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def observe(self, segmentation_logits: torch.Tensor) -> None:
        """Take note of D's verdict on augmented real images: (batch, num_labels + 1, height, width).

        The paper's r_t = E[sign(D(real))] of a D that says real or fake. Here the sign is taken per pixel of the log
        odds that it is any real class: 1 if the classes together are more probable than "fake", else -1.
        """
        if not self.target:
            return
        logits = segmentation_logits.float()
        self._note((logits[:, :-1].logsumexp(dim=1) - logits[:, -1]).sign().mean(dim=(1, 2)))

    @torch.no_grad()
    def observe_patches(self, patch_logits: Sequence[torch.Tensor]) -> None:
        """The same of a D that says real or fake of patches, as in the paper: one (batch, 1, h, w) map per scale."""
        if self.target:
            signs = [scores.float().sign().mean(dim=(1, 2, 3)) for scores in patch_logits]
            self._note(torch.stack(signs).mean(dim=0))

    def _note(self, signs: torch.Tensor) -> None:
        """Take note of the mean sign of each image."""
        seen = torch.stack([signs.sum(), signs.new_tensor(len(signs))])
        self._step = seen if self._step is None else self._step + seen

    def update(self, accelerator: Accelerator) -> dict[str, torch.Tensor]:
        """After a step of D: adapt the probability, equally on all processes (which call this together).

        Returns:
            Numbers to log: `ada_probability`, and `ada_sign` (r_t of the last interval).
        """
        if self.target and self._step is not None:
            reduced = accelerator.reduce(self._step, "sum")
            self._window = reduced if self._window is None else self._window.to(reduced.device) + reduced
            self._step = None
            self._steps += 1
            if self._steps == INTERVAL:
                self._adapt(*self._window.tolist())
                self._window, self._steps = None, 0
        numbers = {"ada_probability": torch.tensor(self.probability)}
        return numbers | ({"ada_sign": torch.tensor(self._sign)} if self.target else {})

    def _adapt(self, signs: float, images: float) -> None:
        self._sign = signs / images
        direction = (self._sign > self.target) - (self._sign < self.target)
        self.probability = min(max(self.probability + direction * images / self.images, 0.0), MAX_PROBABILITY)

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable and equal on all processes."""
        window = [0.0, 0.0] if self._window is None else self._window.tolist()
        return {"probability": self.probability, "sign": self._sign, "steps": self._steps, "window": window}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; a constant probability stays that of the options."""
        if self.target:
            self.probability, self._sign, self._steps = state["probability"], state["sign"], state["steps"]
            self._window = torch.tensor(state["window"]) if self._steps else None

    # -- geometry -------------------------------------------------------------------------------------------------

    def _geometry(
        self, uniform: torch.Tensor, normal: torch.Tensor, size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, 3, 3) from centred output to input pixels, and (batch,) bool: which of them is not the identity."""
        height, width = size
        p, count = self.probability, len(uniform)
        matrix = torch.eye(3).repeat(count, 1, 1)
        one = torch.ones(count)
        moved = torch.zeros(count, dtype=torch.bool)

        def apply(chosen: torch.Tensor, change: torch.Tensor) -> None:
            nonlocal matrix, moved
            matrix = torch.where(chosen[:, None, None], matrix @ change, matrix)
            moved = moved | chosen

        if "blit" in self.kinds:
            apply((uniform[:, 0] < p) & (uniform[:, 1] < 0.5), _scaling(-one, one))
            if height == width:
                turns = (uniform[:, 3] * 4).floor()
                apply((uniform[:, 2] < p) & (turns > 0), _rotation(turns * (math.pi / 2)))
            shift = (uniform[:, 5:7] * 2 - 1) * 0.125
            apply(uniform[:, 4] < p, _shift((shift[:, 0] * width).round(), (shift[:, 1] * height).round()))
        if "geometric" in self.kinds:
            rotate = 1 - math.sqrt(1 - p)  # two rotations, so that one of them happens with probability p
            scale = torch.exp2(0.2 * normal[:, 0])
            apply(uniform[:, 7] < p, _scaling(scale, scale))
            apply(uniform[:, 8] < rotate, _rotation((uniform[:, 9] * 2 - 1) * math.pi))
            stretch = torch.exp2(0.2 * normal[:, 1])
            apply(uniform[:, 10] < p, _scaling(stretch, 1 / stretch))
            apply(uniform[:, 11] < rotate, _rotation((uniform[:, 12] * 2 - 1) * math.pi))
            apply(uniform[:, 13] < p, _shift(0.125 * width * normal[:, 2], 0.125 * height * normal[:, 3]))
        return matrix, moved

    def _warp(
        self,
        label_map: torch.Tensor,
        images: tuple[torch.Tensor, ...],
        matrices: torch.Tensor,
        moved: torch.Tensor,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        count, height, width = label_map.shape
        to_pixels = torch.diag(torch.tensor([width / 2, height / 2, 1.0]))
        theta = (torch.linalg.inv(to_pixels) @ matrices @ to_pixels)[:, :2].to(label_map.device)
        grid = F.affine_grid(theta, [count, 1, height, width], align_corners=False)
        moved = moved.to(label_map.device)[:, None, None]
        # Ids as float32: exact up to 2^24.
        labels = F.grid_sample(label_map[:, None].float(), grid, "nearest", "reflection", align_corners=False)[:, 0]
        labels = labels.round().to(label_map.dtype)
        if self.void_label_id is not None:
            outside = (grid.abs() > 1 + 1e-5).any(dim=-1)
            labels = labels.masked_fill(outside, self.void_label_id)
        warped = tuple(
            torch.where(
                moved[:, None],
                F.grid_sample(batch.float(), grid, "bilinear", "reflection", align_corners=False).to(batch.dtype),
                batch,
            )
            for batch in images
        )
        return torch.where(moved, labels, label_map), warped

    # -- colour ---------------------------------------------------------------------------------------------------

    def _colors(self, uniform: torch.Tensor, normal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, 4, 4) acting on (r, g, b, 1), and (batch,) bool: which of them is not the identity."""
        p, count = self.probability, len(uniform)
        matrix, changed = torch.eye(4).repeat(count, 1, 1), torch.zeros(count, dtype=torch.bool)
        if "color" not in self.kinds:
            return matrix, changed
        luma = torch.tensor([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3)
        gray, eye = torch.outer(luma, luma), torch.eye(4)

        def apply(chosen: torch.Tensor, change: torch.Tensor) -> None:
            nonlocal matrix, changed
            matrix = torch.where(chosen[:, None, None], change @ matrix, matrix)
            changed = changed | chosen

        brightness = eye.repeat(count, 1, 1)
        brightness[:, :3, 3] = 0.2 * normal[:, 4, None]
        apply(uniform[:, 14] < p, brightness)
        contrast = torch.exp2(0.5 * normal[:, 5])[:, None, None] * torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0]))
        apply(uniform[:, 15] < p, contrast + torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0])))
        apply((uniform[:, 16] < p) & (uniform[:, 17] < 0.5), (eye - 2 * gray).expand(count, 4, 4))
        apply(uniform[:, 18] < p, _hue((uniform[:, 19] * 2 - 1) * math.pi))
        saturation = torch.exp2(normal[:, 6])[:, None, None]
        apply(uniform[:, 20] < p, gray + (eye - gray) * saturation + (1 - saturation) * _last())
        return matrix, changed


def _last() -> torch.Tensor:
    """1 in the corner that keeps the 1 of (r, g, b, 1)."""
    return torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0]))


def _matrix(rows: list[list[torch.Tensor]]) -> torch.Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _scaling(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Inverse of scaling by (x, y)."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[1 / x, zero, zero], [zero, 1 / y, zero], [zero, zero, one]])


def _shift(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Inverse of a shift by (x, y) pixels."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[one, zero, -x], [zero, one, -y], [zero, zero, one]])


def _rotation(angle: torch.Tensor) -> torch.Tensor:
    """Inverse of a rotation about the middle."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    sine, cosine = angle.sin(), angle.cos()
    return _matrix([[cosine, sine, zero], [-sine, cosine, zero], [zero, zero, one]])


def _hue(angle: torch.Tensor) -> torch.Tensor:
    """Rotation of (r, g, b, 1) about the grey axis (Rodrigues' formula)."""
    axis = torch.full((3,), 1 / math.sqrt(3))
    x, y, z = axis.tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    rotation = cosine * torch.eye(3) + sine * cross + (1 - cosine) * torch.outer(axis, axis)
    matrix = torch.eye(4).repeat(len(angle), 1, 1)
    matrix[:, :3, :3] = rotation
    return matrix


def _recolor(images: torch.Tensor, matrices: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    matrices = matrices.to(images.device, images.dtype)
    recolored = torch.einsum("bij,bjhw->bihw", matrices[:, :3, :3], images) + matrices[:, :3, 3, None, None]
    return torch.where(changed.to(images.device)[:, None, None, None], recolored, images)


__all__ = ["ADA_KINDS", "AdaptiveAugmentation"]
