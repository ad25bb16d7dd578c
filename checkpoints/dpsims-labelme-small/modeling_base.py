# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the networks of all families share: how generators are called, noise, checks of the input, spectral norm."""

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .configuration_base import NamedClassesConfig
from .layers_label import LabelConv2d
from .layers_noise import NoiseConv2d, canonical_noise
from .layers_spade import init_spectral_norm
from .layers_texture import TextureNoise, white_noise
from .modeling_checkpoint_files import WHERE, check_finite, check_loaded, check_weights, pinned_revision
from .modeling_checks import check_images, check_multiples, is_integer
from .modeling_inference import inference_form, kept_inference_form
from .modeling_outputs import GeneratorOutput
from .modeling_saving import SavedWithCode


ATTENTIONS = ("sdpa", "eager")  # the first is the default


def init_by_xavier(module: nn.Module, gain: float) -> None:
    """Initialise one module: kernels by Xavier's normal law, biases 0, norms 1 (for `_init_weights`)."""
    if init_spectral_norm(module) or init_texture_noise(module):
        return
    if isinstance(module, nn.Conv2d | LabelConv2d | NoiseConv2d):
        if not parametrize.is_parametrized(module):
            init.xavier_normal_(module.weight, gain=gain)
        bias: Any = getattr(module, "bias", None)
        if bias is not None:
            init.zeros_(bias)
    elif isinstance(module, nn.BatchNorm2d):
        norm: Any = module  # weights and statistics may be None, which torch's types do not tell apart
        if norm.weight is not None:
            init.ones_(norm.weight)
            init.zeros_(norm.bias)
        init.zeros_(norm.running_mean)
        init.ones_(norm.running_var)
        init.zeros_(norm.num_batches_tracked)


def init_texture_noise(module: nn.Module) -> bool:
    """Initialise the gains of texture noise (for `_init_weights`); False if it is no such module."""
    if not isinstance(module, TextureNoise):
        return False
    init.constant_(module.gain, module.gain_init)
    return True


def own_memory(model: nn.Module) -> None:
    """Copy weights and buffers on the CPU to where torch would have put them.

    `from_pretrained` leaves them in the mapped file, at any address, and an address that is no multiple of 64 bytes
    lets kernels sum in another order.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


class FoldableModel(SavedWithCode, PreTrainedModel):
    """A model whose spectral norm can be folded away, and whose checkpoints may come from anyone.

    Loaded, it computes as the one that was saved, to the bit. Saved, its code stands beside its weights.
    """

    if TYPE_CHECKING:
        config: Any
        config_class: type[NamedClassesConfig]
    _supports_sdpa = True
    whole_parts: tuple[str, ...] = ()  # beginnings of names of weights that a checkpoint has all of

    def __init__(self, config: Any) -> None:
        if isinstance(config, NamedClassesConfig):
            config.check()  # a field may have been changed since it was made
        super().__init__(config)

    def _check_and_adjust_attn_implementation(self, attn_implementation: str | None, *_: Any, **__: Any) -> str:
        """What transformers asks before it uses an implementation, which others might fetch as a kernel."""
        if attn_implementation not in (None, *ATTENTIONS):
            known = " or ".join(f'"{name}"' for name in ATTENTIONS)
            raise ValueError(f"attn_implementation={attn_implementation!r}: these networks know {known}")
        return attn_implementation or ATTENTIONS[0]

    def set_attn_implementation(self, attn_implementation: str | dict[str, str], **_: Any) -> None:
        """Compute attention by torch's fused kernel ("sdpa") or written out ("eager"); a backbone keeps its own."""
        if isinstance(attn_implementation, dict):
            attn_implementation = attn_implementation.get("", self.config._attn_implementation)
        name = self._check_and_adjust_attn_implementation(attn_implementation)
        self.config._attn_implementation = name
        for module in self.modules():
            if hasattr(module, "attention_implementation"):
                module.attention_implementation = name

    def post_init(self) -> None:
        """As in transformers, at the end of `__init__`; attention is computed as the config says."""
        super().post_init()
        self.set_attn_implementation(self.config._attn_implementation)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike | None, *args: Any, **kwargs: Any
    ) -> Any:
        """As in transformers, from safetensors files alone (a checkpoint is data), into memory of torch's own.

        Raises:
            ValueError: for a config with fields out of their bounds, and for weights that are not of its network: far
                smaller, far larger (such ones are not fetched), without most of its tensors, or not finite.
            OSError: for a checkpoint without safetensors files.
            RuntimeError: for weights of other sizes than the config's.
        """
        if kwargs.get("use_safetensors") is False or kwargs.get("gguf_file") is not None:
            raise ValueError(
                "weights are loaded from safetensors files alone; leave use_safetensors and gguf_file out"
            )
        kwargs["use_safetensors"] = True
        source = pretrained_model_name_or_path
        if source is not None:
            cls._check_source(source, kwargs)
        wants_info = kwargs.pop("output_loading_info", False)
        try:
            model, info = super().from_pretrained(source, *args, output_loading_info=True, **kwargs)
        except RuntimeError as error:
            if "ignore_mismatched_sizes" not in str(error):
                raise
            raise RuntimeError(
                f"{source}: its config.json and its weights are not of one model, the sizes differ; with "
                "ignore_mismatched_sizes=True such weights start anew"
            ) from error
        if source is not None:
            check_loaded(source, model, info)
            check_finite(source, model, info)
        own_memory(model)
        return (model, info) if wants_info else model

    @classmethod
    def _check_source(cls, source: str | os.PathLike, kwargs: dict[str, Any]) -> None:
        """Look at config and weights of a checkpoint; `kwargs` gets the commit that was looked at."""
        where = {name: kwargs[name] for name in WHERE if kwargs.get(name) is not None}
        config = kwargs.get("config")
        if not isinstance(config, PreTrainedConfig):
            revision = pinned_revision(source, **where)
            if revision is not None:
                where["revision"] = kwargs["revision"] = revision
            config = cls.config_class.from_pretrained(config or source, **where)
        check_weights(source, cls._parameter_estimate(config), variant=kwargs.get("variant"), **where)

    @classmethod
    def _parameter_estimate(cls, config: Any) -> int:
        """About how many numbers a checkpoint of this config holds."""
        return config.parameter_estimate() if isinstance(config, NamedClassesConfig) else 0

    def fold_spectral_norm(self) -> "FoldableModel":
        """Replace every spectrally normalised weight by its present value, in place, for inference and export.

        A `deepcopy` shares the parametrised classes with its original, which folding the copy would break; see
        `dpsims_hf.hub.folded_copy`.
        """
        was_training = self.training
        self.eval()  # no power iteration while reading the weights
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        self.config.spectral_norm = False
        return self.train(was_training)


class SemanticGenerator(FoldableModel):
    """Label map + noise -> image in one forward pass: the contract of every family's generator.

    A family gives `_features`, and a module `to_image`, its last convolution.
    """

    base_model_prefix = "generator"
    main_input_name = "label_map"
    supports_gradient_checkpointing = True  # its blocks are `CheckpointedBlock`s
    to_image: nn.Module

    def _features(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor,
        noise_regions: torch.Tensor | None,
        instance_offsets: torch.Tensor | None,
        textures: list[torch.Tensor | None],
    ) -> torch.Tensor:
        """G^f, what enters the last convolution; noise is (batch, regions, noise_dim), everything is checked.

        `textures` has the white noise of each block, coarse to fine: (1 or batch, 1, h, w), or None without.
        """
        raise NotImplementedError

    def _inference_modules(self, dtype: torch.dtype) -> dict[str, nn.Module]:
        """By name, the modules that the fast form has instead of the model's own; a family need not have any."""
        return {}

    @torch.no_grad()
    def for_inference(self, dtype: str | torch.dtype = "auto") -> "SemanticGenerator":
        """A fast form of this generator, for images alone: no gradients, nothing to save, fixed where it lies.

        Spectral and batch norms are folded away; what a label map's distinct neighbourhoods and the coarsest map
        determine is computed once for each; kernels lie as the machine wants them. In float32 its images equal the
        plain ones within 1e-4. With one number type the same noise gives the same image, as everywhere.

        Args:
            dtype: "float32", "bfloat16", or "auto": bfloat16 where the machine has it in hardware and a trial of
                two seconds, once per model, shows it clearly faster. `inference_dtype` of the result says which.

        Raises:
            ValueError: for another number type.
        """
        return inference_form(self, dtype)

    @torch.no_grad()
    def kept_for_inference(self, dtype: str | torch.dtype = "auto") -> "SemanticGenerator":
        """As `for_inference`, made once and again when the weights have changed: what the pipeline computes with."""
        return kept_inference_form(self, dtype)

    def sample_noise(
        self, batch_size: int, regions: int | None = None, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Draw z ~ N(0, I), on the CPU and then moved: a seed means the same image on every device.

        Args:
            batch_size: images.
            regions: noise vectors per image, for use with `noise_regions`; None draws one.
            generator: a random generator of the CPU; one of another device draws there, as in diffusers.

        Returns:
            (batch_size, noise_dim), or (batch_size, regions, noise_dim).
        """
        shape = (batch_size,) if regions is None else (batch_size, regions)
        shape += (self.config.noise_dim,)
        place = "cpu" if generator is None else generator.device
        return torch.randn(shape, generator=generator, device=place).to(self.device)

    def forward(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor | None = None,
        noise_regions: torch.Tensor | None = None,
        instance_offsets: torch.Tensor | None = None,
        texture_seed: int | torch.Tensor = 0,
        output_features: bool = False,
        return_dict: bool = True,
    ) -> GeneratorOutput | tuple[torch.Tensor, ...]:
        """Generate images.

        In eval mode an image follows from which vector each of its pixels obeys, however noise and regions say it:
        bit for bit, with the same weights, batch size, device and number of threads. Noise and regions are taken as
        they are in training mode, in a graph that is compiled or exported, and where the noise takes a gradient.

        Args:
            label_map: (batch, height, width) int64, 0 .. num_labels - 1; sides are multiples of config.size_divisor.
            noise: (batch, noise_dim), or (batch, regions, noise_dim) with `noise_regions`; None draws new noise from
                the global random state.
            noise_regions: (batch, height, width) int64, 0 .. regions - 1.
            instance_offsets: (batch, 2, height, width), needed if config.use_instance_offsets.
            texture_seed: of the white noise in the blocks, 0 .. 2 ** 30 - 1, or (batch,) int64 with one for each
                image; without effect unless config.texture_noise.
            output_features: also return G^f, (batch, channels, height, width).
            return_dict: a `GeneratorOutput`, else a tuple.

        Raises:
            ValueError: for sizes, label ids, noise or offsets that do not fit; the message names value and remedy.
        """
        self._check_inputs(label_map, noise, noise_regions, instance_offsets)
        label_map = label_map.long()  # smaller integers are welcome, but cannot index
        noise_regions = None if noise_regions is None else noise_regions.long()
        if noise is None:
            noise = self.sample_noise(label_map.shape[0])
        noise = noise.to(self.dtype)
        if noise.ndim == 2:
            noise = noise[:, None]
        if self._may_rearrange(noise):
            noise, noise_regions = canonical_noise(noise, noise_regions)
        textures = self._textures(label_map, texture_seed)
        features = self._features(label_map, noise, noise_regions, instance_offsets, textures)
        images = torch.tanh(self.to_image(features))
        output = GeneratorOutput(images=images, features=features if output_features else None)
        return output if return_dict else output.to_tuple()

    def _textures(self, label_map: torch.Tensor, seed: int | torch.Tensor) -> list[torch.Tensor | None]:
        """White noise for each block, coarse to fine."""
        scales = range(self.config.num_scales)
        if not self.config.texture_noise:
            return [None for _ in scales]
        self._check_texture_seed(seed, label_map.shape[0])  # len() would fix it in a graph
        height, width = label_map.shape[-2:]  # divided, not shifted: ONNX has no shift of sizes
        key = (seed, height, width, label_map.device)
        kept = self.__dict__.get("kept_textures")  # of a fast form
        if kept is not None and key in kept:
            return kept[key]
        textures = [
            white_noise(seed, height // 2**scale, width // 2**scale, scale, label_map.device)
            for scale in reversed(scales)
        ]
        if kept is not None and not isinstance(seed, torch.Tensor):
            kept.clear()  # the last one alone: a page draws the same size again and again
            kept[key] = textures
        return textures

    @staticmethod
    def _check_texture_seed(seed: int | torch.Tensor, batch: int) -> None:
        if not isinstance(seed, torch.Tensor):
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**30:
                raise ValueError(f"texture_seed={seed!r} must be a whole number in 0..{2**30 - 1}")
        elif tuple(seed.shape) != (batch,) or not is_integer(seed):
            raise ValueError(
                f"texture_seed has shape {tuple(seed.shape)} and type {seed.dtype}; give a number, or int64 of shape "
                f"({batch},)"
            )

    def _may_rearrange(self, noise: torch.Tensor) -> bool:
        """Whether `canonical_noise` may look at the values: not in a graph, nor where training would wait for them."""
        in_graph = torch.compiler.is_compiling() or torch.jit.is_tracing() or noise.device.type == "meta"
        # Equal vectors with gradients of their own stay apart.
        takes_gradient = torch.is_grad_enabled() and noise.requires_grad
        return not (self.training or in_graph or takes_gradient)

    def _check_inputs(
        self,
        label_map: torch.Tensor,
        noise: torch.Tensor | None,
        noise_regions: torch.Tensor | None,
        instance_offsets: torch.Tensor | None,
    ) -> None:
        config: Any = self.config
        if label_map.ndim != 3 or not is_integer(label_map):
            raise ValueError(
                f"label_map has shape {tuple(label_map.shape)} and type {label_map.dtype}; give class indices of "
                "shape (batch, height, width), int64, not a one-hot map"
            )
        batch, height, width = label_map.shape
        check_multiples("label_map", (height, width), config.size_divisor)
        self._check_indices("label_map", label_map, config.num_labels)
        if getattr(config, "use_instance_offsets", False) and (
            instance_offsets is None or tuple(instance_offsets.shape) != (batch, 2, height, width)
        ):
            given = None if instance_offsets is None else tuple(instance_offsets.shape)
            raise ValueError(f"instance_offsets is {given}; this model needs shape {(batch, 2, height, width)}")
        self._check_noise((batch, height, width), noise, noise_regions)

    def _check_noise(
        self, shape: tuple[int, int, int], noise: torch.Tensor | None, noise_regions: torch.Tensor | None
    ) -> None:
        batch, dim = shape[0], self.config.noise_dim
        if noise is None:
            if noise_regions is not None:
                raise ValueError("noise_regions is given without noise; draw it by sample_noise(batch, regions=...)")
            return
        if noise.ndim not in (2, 3) or noise.shape[0] != batch or noise.shape[-1] != dim:
            raise ValueError(
                f"noise has shape {tuple(noise.shape)}; expected ({batch}, {dim}), or ({batch}, regions, {dim}) "
                "together with noise_regions"
            )
        if noise_regions is None:
            if noise.ndim == 3 and noise.shape[1] != 1:
                raise ValueError(f"noise holds {noise.shape[1]} regions per image; give noise_regions as well")
            return
        if tuple(noise_regions.shape) != shape or not is_integer(noise_regions):
            raise ValueError(
                f"noise_regions has shape {tuple(noise_regions.shape)} and type {noise_regions.dtype}; give region "
                f"numbers of label_map's shape {shape}, int64"
            )
        self._check_indices("noise_regions", noise_regions, noise.shape[1] if noise.ndim == 3 else 1)

    def _check_indices(self, name: str, indices: torch.Tensor, count: int) -> None:
        # On an accelerator the comparison would wait for the queue at every training step; there the data pipeline
        # has checked the values on the CPU already.
        if torch.compiler.is_compiling() or (self.training and indices.device.type != "cpu"):
            return
        wrong = indices[(indices < 0) | (indices >= count)]
        if len(wrong):
            raise ValueError(f"{name} holds {int(wrong[0])}, outside the legal range 0..{count - 1}")


__all__ = [
    "FoldableModel",
    "SemanticGenerator",
    "check_images",
    "check_multiples",
    "init_by_xavier",
    "init_texture_noise",
]
