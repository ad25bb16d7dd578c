"""What the configurations of all families share: class names, sizes, presets."""

from typing import Any, ClassVar

from transformers import PreTrainedConfig
from transformers.utils import logging


logger = logging.get_logger(__name__)

PADDING_MODES = ("zeros", "reflect", "replicate")
UPSAMPLE_MODES = ("nearest", "bilinear")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ValueError that lists the choices if `value` is none of them."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(choices)}")


class NamedClassesConfig(PreTrainedConfig):
    """A config with `num_labels` input classes, void included, and presets.

    Args:
        num_labels: input classes; None takes the number of names in `id2label`, or the paper's 151 of ADE20K. Where it
            clashes with `id2label` the number wins and the names are dropped: that is how transformers fine-tunes to
            another label set, from_pretrained(..., num_labels=9).
        void_label_id: which class is void, if any.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, num_labels: int | None = None, void_label_id: int | None = None, **kwargs: Any) -> None:
        self.void_label_id = void_label_id
        names = kwargs.get("id2label")
        if names is not None and num_labels is not None and len(names) != num_labels:
            logger.warning("num_labels=%d replaces the %d class names of the checkpoint", num_labels, len(names))
            kwargs.pop("id2label")
            kwargs.pop("label2id", None)
            names = None
        if names is None:
            kwargs["num_labels"] = 151 if num_labels is None else num_labels
        super().__init__(**kwargs)

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
        padding_mode: str = "zeros",
        output_padding_mode: str | None = None,
        upsample_mode: str = "nearest",
        texture_noise: bool = False,
        **kwargs: Any,
    ) -> None:
        self.image_size = [int(side) for side in image_size]
        self.noise_dim = noise_dim
        self.base_channels = base_channels
        self.channel_multipliers = list(channel_multipliers)
        self.spectral_norm = spectral_norm
        self.normalization_eps = normalization_eps
        self.padding_mode = padding_mode
        self.output_padding_mode = padding_mode if output_padding_mode is None else output_padding_mode
        self.upsample_mode = upsample_mode
        self.texture_noise = texture_noise
        check_choice("padding_mode", self.padding_mode, PADDING_MODES)
        check_choice("output_padding_mode", self.output_padding_mode, PADDING_MODES)
        check_choice("upsample_mode", self.upsample_mode, UPSAMPLE_MODES)
        if len(self.channel_multipliers) < 2:
            raise ValueError(f"channel_multipliers={self.channel_multipliers} must hold 2 numbers or more")
        if noise_dim < 0:
            raise ValueError(f"noise_dim={noise_dim} must not be negative; 0 is no noise")
        if len(self.image_size) != 2:
            raise ValueError(f"image_size={self.image_size} must be (height, width)")
        if any(side <= 0 or side % self.size_divisor for side in self.image_size):
            raise ValueError(f"image_size={self.image_size} must be multiples of {self.size_divisor}")
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
    def block_padding_modes(self) -> list[str]:
        """Padding of each SPADE block, coarse to fine."""
        return [self.padding_mode] * (self.num_scales - 1) + [self.output_padding_mode]

    @property
    def size_divisor(self) -> int:
        """Height and width of every input are multiples of this."""
        return 2 ** (self.num_scales - 1)


__all__ = ["GeneratorConfig", "NamedClassesConfig", "check_choice"]
