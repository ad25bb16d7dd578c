# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the configurations of all families share: class names, sizes, presets."""

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from huggingface_hub import CommitInfo
from transformers import PreTrainedConfig
from transformers.utils import logging

from .configuration_limits import (
    CONFIG_FIELDS,
    MAX_PIXELS,
    TRANSFORMERS_FIELDS,
    PaddingMode,
    check_arguments,
    check_parameters,
    own_fields,
)
from .configuration_publishing import code_reference, plain_card, push_saved
from .configuration_rules import Rule


logger = logging.get_logger(__name__)


class NamedClassesConfig(PreTrainedConfig):
    """A config with `num_labels` input classes, void included, and presets.

    Every field is checked before `__init__` runs: `configuration_limits` says what it may be, or `field_rules` of the
    class for a field that only its family has.

    Args:
        num_labels: input classes; None takes the number of names in `id2label`, or the paper's 151 of ADE20K. Where it
            clashes with `id2label` the number wins and the names are dropped: that is how transformers fine-tunes to
            another label set, from_pretrained(..., num_labels=9).
        void_label_id: which class is void, if any.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    _auto_class = "AutoConfig"  # saved with its code, as by `register_for_auto_class`
    field_rules: ClassVar[dict[str, Rule]] = {}
    paper: ClassVar[tuple[str, str] | None] = None  # tag and citation, for cards
    if TYPE_CHECKING:
        num_labels: int  # a property of transformers; here never None

    def __new__(cls, /, *args: Any, **kwargs: Any) -> "NamedClassesConfig":
        check_arguments(cls, CONFIG_FIELDS | cls.field_rules, TRANSFORMERS_FIELDS, args, kwargs)
        if kwargs.get("model_type", cls.model_type) != cls.model_type:
            raise ValueError(f"model_type={kwargs['model_type']!r}: {cls.__name__} is of type {cls.model_type!r}")
        return super().__new__(cls)

    def __init__(self, num_labels: int | None = None, void_label_id: int | None = None, **kwargs: Any) -> None:
        names = kwargs.get("id2label")
        if names is not None and num_labels is not None and len(names) != num_labels:
            logger.warning("num_labels=%d replaces the %d class names of the checkpoint", num_labels, len(names))
            kwargs.pop("id2label")
            kwargs.pop("label2id", None)
            names = None
            void_label_id = None if void_label_id is None or void_label_id >= num_labels else void_label_id
        if names is None:
            kwargs["num_labels"] = 151 if num_labels is None else num_labels
        super().__init__(**kwargs)
        names_of_ids: dict[Any, Any] = self.id2label or {}
        self.label2id = {name: key for key, name in names_of_ids.items()}
        self.void_label_id = void_label_id
        if void_label_id is not None and void_label_id >= self.num_labels:
            raise ValueError(
                f"void_label_id {void_label_id} is out of range: legal are 0..{self.num_labels - 1} or None"
            )
        check_parameters(type(self).__name__, self.parameter_estimate())

    def parameter_estimate(self) -> int:
        """About how many parameters the network has, a frozen backbone not counted; nothing is built for it."""
        raise NotImplementedError

    def check(self) -> None:
        """Check the fields as they are now; a model does so before it is built.

        Raises:
            ValueError: as when the config was made.
        """
        fields = {name: getattr(self, name) for name in own_fields(type(self)) if name != "num_labels"}
        type(self)(**fields, id2label=self.id2label)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in transformers; what `kwargs` override is checked as well."""
        loaded = super().from_dict(config_dict, **kwargs)
        (loaded[0] if isinstance(loaded, tuple) else loaded).check()
        return loaded

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, repo_id: str | None = None, **kwargs: Any
    ) -> None:
        """Write config.json and the code of this class; the config stays as it is.

        Args:
            save_directory: made if it does not exist.
            push_to_hub: also put them on the Hub, see `push_to_hub`.
            repo_id: the repository; None is the folder's name.
            kwargs: of `push_to_hub`, otherwise of no effect.
        """
        saved, auto_map = copy.deepcopy(self), getattr(self, "auto_map", None) or {}
        # Entries that a model made, which wrote its code; no others, say of the repository that the config came from.
        written = {
            key: ref for key, ref in auto_map.items() if Path(save_directory, f"{ref.split('.')[0]}.py").is_file()
        }
        saved.auto_map = written | {"AutoConfig": code_reference(type(self))}
        super(NamedClassesConfig, saved).save_pretrained(save_directory)
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).name, **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> CommitInfo:
        """Put config.json and its code on the Hub in one commit, or make nothing there.

        Args:
            repo_id: "user/name", or "name" for one of the token's user.
            kwargs: see `push_saved`.

        Raises:
            ValueError: see `push_saved`.
        """
        usage = (
            'from transformers import AutoConfig\n\nconfig = AutoConfig.from_pretrained("{}", trust_remote_code=True)'
        )
        kwargs.setdefault("commit_message", "Upload config")
        return push_saved(
            self.save_pretrained,
            repo_id,
            lambda name: plain_card(name, "Configuration of a network", [], usage.format(name)),
            **kwargs,
        )

    @classmethod
    def from_preset(cls, preset: str, **overrides: Any) -> "NamedClassesConfig":
        """`paper` (the defaults), `small` (for a CPU) or `tiny` (for tests), with fields overridden."""
        if preset not in cls.presets:
            raise ValueError(f"unknown preset {preset!r}; choose one of {', '.join(cls.presets)}")
        return cls(**{**cls.presets[preset], **overrides})


class GeneratorConfig(NamedClassesConfig):
    """Base of the generators' configs.

    Args:
        num_labels, void_label_id: see `NamedClassesConfig`.
        image_size: (height, width) of training. Other multiples of 2 ** (scales - 1) work as well.
        noise_dim: length of a noise vector; 0 is a generator without noise where the family allows it.
        base_channels: multiplied by channel_multipliers it gives the image path's widths, coarse to fine.
        channel_multipliers: one more than there are scales.
        spectral_norm: on the convolutions of the SPADE blocks.
        normalization_eps: epsilon of the batch norms.
        padding_mode: of the 3x3 convolutions.
        output_padding_mode: at full resolution, where zeros leave a wrong border; None is padding_mode.
        upsample_mode: between SPADE blocks.
        texture_noise: white noise in the SPADE blocks (see `TextureNoise`); the papers have none.
    """

    def __init__(
        self,
        num_labels: int | None,
        void_label_id: int | None,
        image_size: tuple[int, int] | list[int],
        noise_dim: int,
        base_channels: int,
        channel_multipliers: list[int] | tuple[int, ...],
        spectral_norm: bool,
        normalization_eps: float,
        padding_mode: PaddingMode = "zeros",
        output_padding_mode: PaddingMode | None = None,
        upsample_mode: str = "nearest",
        texture_noise: bool = False,
        **kwargs: Any,
    ) -> None:
        self.image_size = list(image_size)
        self.noise_dim = noise_dim
        self.base_channels = base_channels
        self.channel_multipliers = list(channel_multipliers)
        self.spectral_norm = spectral_norm
        self.normalization_eps = normalization_eps
        self.padding_mode = padding_mode
        self.output_padding_mode = padding_mode if output_padding_mode is None else output_padding_mode
        self.upsample_mode = upsample_mode
        self.texture_noise = texture_noise
        if len(self.image_size) != 2:
            raise ValueError(f"image_size={self.image_size} must be (height, width)")
        if any(side % self.size_divisor for side in self.image_size):
            raise ValueError(f"image_size={self.image_size} must be multiples of {self.size_divisor}")
        if self.image_size[0] * self.image_size[1] > MAX_PIXELS:
            raise ValueError(f"image_size={self.image_size} is illegal: legal are up to {MAX_PIXELS:,} pixels")
        super().__init__(num_labels, void_label_id, **kwargs)

    @property
    def widths(self) -> list[int]:
        """Widths of the image path, coarse to fine."""
        return [self.base_channels * multiplier for multiplier in self.channel_multipliers]

    @property
    def num_scales(self) -> int:
        """Blocks of the image path."""
        return len(self.channel_multipliers) - 1

    @property
    def block_padding_modes(self) -> list[PaddingMode]:
        """Padding of each SPADE block, coarse to fine."""
        return [self.padding_mode] * (self.num_scales - 1) + [self.output_padding_mode]

    @property
    def size_divisor(self) -> int:
        """Height and width of every input are multiples of this."""
        return 2 ** (self.num_scales - 1)


def spade_block_parameters(before: int, after: int, condition: int) -> int:
    """Kernels of a `SpadeResidualBlock` whose norms read a condition of so many channels."""
    middle, shortcut = min(before, after), before != after
    convolutions = 9 * middle * (before + after) + shortcut * before * after
    return convolutions + 18 * condition * (before + middle + shortcut * before)


def residual_block_parameters(before: int, after: int) -> int:
    """Kernels of a `ResidualBlock`."""
    return 9 * after * (before + after) + (before != after) * before * after


__all__ = [
    "GeneratorConfig",
    "NamedClassesConfig",
    "residual_block_parameters",
    "spade_block_parameters",
]
