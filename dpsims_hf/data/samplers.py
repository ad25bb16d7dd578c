"""Which training image comes when: rare-class weights (DP-SIMS Sec. 4.1) and a sampler without state."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

from .transforms import stateless_generator


ORDER_STREAM = 1  # keeps the draws of the order apart from those of the augmentation (dataset.py)


def rare_class_weights(class_presence: np.ndarray, void_label_id: int | None = None) -> torch.Tensor:
    """Sampling probability of every training image: p ~ f_k^(-1/2) (DP-SIMS Sec. 4.1).

    f_c is the share of images in which class c occurs, k the class of the image with the smallest f. Void is no class
    here. An image of void alone counts as if its rarest class were everywhere (f = 1).

    Args:
        class_presence: (images, num_labels) bool.
        void_label_id: The label left out, or None.

    Returns:
        (images,) float64, sum 1.
    """
    presence = np.array(class_presence, dtype=bool)
    if presence.ndim != 2 or not len(presence):
        raise ValueError(
            f"class_presence of shape {presence.shape}: expected (images, num_labels) with at least one image"
        )
    if void_label_id is not None:
        presence[:, void_label_id] = False
    frequency = presence.mean(axis=0)
    rarest = np.where(presence, frequency, 1.0).min(axis=1)
    weights = torch.from_numpy(rarest**-0.5)
    return weights / weights.sum()


class DrawSampler(Sampler[tuple[int, int]]):
    """Yields (index, draw) for draw = 0 .. num_draws-1; the dataset augments from `draw`.

    The index of draw p depends on (seed, p // epoch length, p % epoch length) only; an epoch is as long as the data
    set. All processes iterate the same sampler and accelerate deals the batches out; skipping batches skips draws.

    Args:
        num_draws: Samples in the whole run (steps x global batch size).
        dataset_len: Images in the data set.
        weights: (images,) probabilities, drawn with replacement; None shuffles each epoch without replacement.
        seed: Seed of the order.
    """

    def __init__(self, num_draws: int, dataset_len: int, weights: torch.Tensor | None = None, seed: int = 0) -> None:
        if num_draws < 0 or dataset_len < 1:
            raise ValueError(f"num_draws {num_draws} must be >= 0 and dataset_len {dataset_len} >= 1")
        if weights is not None and len(weights) != dataset_len:
            raise ValueError(f"{len(weights)} weights for {dataset_len} images: pass one weight per image")
        self.num_draws, self.dataset_len, self.weights, self.seed = num_draws, dataset_len, weights, seed

    def epoch_order(self, epoch: int) -> list[int]:
        """The image indices of one epoch, in order."""
        generator = stateless_generator(self.seed, ORDER_STREAM, epoch)
        if self.weights is None:
            return torch.randperm(self.dataset_len, generator=generator).tolist()
        return torch.multinomial(self.weights, self.dataset_len, replacement=True, generator=generator).tolist()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for first in range(0, self.num_draws, self.dataset_len):
            order = self.epoch_order(first // self.dataset_len)
            for draw in range(first, min(first + self.dataset_len, self.num_draws)):
                yield order[draw - first], draw

    def __len__(self) -> int:
        return self.num_draws


__all__ = ["DrawSampler", "rare_class_weights"]
