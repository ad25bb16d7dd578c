# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How the pipeline is loaded, saved and published: the arguments of diffusers and transformers, at one commit.

`DiffusionPipeline.from_pretrained` finds a `StoredCheckpoint` in the generator's place, which says where the
checkpoint lies and with what options; our own `from_pretrained` is told the same. Both then load the same way: what
the files say is checked first, code and weights are those of one commit.
"""

import os
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from huggingface_hub import CommitInfo
from transformers import AutoImageProcessor, AutoModel, BaseImageProcessor, PreTrainedConfig, PreTrainedModel

from .configuration_publishing import plain_card, push_saved
from .configuration_rules import read_json, shortened
from .modeling_checkpoint_files import check_loaded, pinned_revision
from .pipeline_checkpoint_folder import (
    CLOSURE_PATTERNS,
    DISCRIMINATOR_FOLDER,
    GENERATOR_FOLDER,
    check_config_file,
    check_folder,
    check_processor_file,
    discriminator_place,
    reached_files,
    read_discriminator_config,
    write_components,
)


COMPONENTS = ("generator_model", "processor", "discriminator")
# Where files come from: asked for with every file, checked or loaded.
PLACE = ("revision", "token", "cache_dir", "local_files_only", "force_download", "proxies", "subfolder")
# How networks are made from them.
WEIGHTS = ("dtype", "variant", "use_safetensors", "attn_implementation")
# What spreads a network over machines and disks; None, as diffusers passes it, asks for nothing.
SPREAD = ("max_memory", "offload_folder", "offload_state_dict", "quantization_config")
# Owners on the Hub have no "--": there is one place to divide at, so that a long path takes linear time.
SNAPSHOT = re.compile(
    r"(?:^|/)models--(?P<owner>(?:[^/-]|-(?!-))+)--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})$"
)
REPLACED = ("model*.safetensors*", *CLOSURE_PATTERNS, f"{DISCRIMINATOR_FOLDER}/*", f"{GENERATOR_FOLDER}/*")
USAGE = """
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("{}", trust_remote_code=True)
pipe("label_map.png", seed=0).images[0].save("image.png")
"""


class CheckpointPipeline(DiffusionPipeline):
    """A pipeline of a generator, its processor and its discriminator, from and to checkpoint folders.

    Args:
        generator_model: label_map, noise -> images.
        processor: decodes label maps and photos, turns generated images into pictures.
        discriminator: pixel_values -> segmentation_logits.
    """

    generator_model: Any  # the three are registered by diffusers
    processor: Any
    discriminator: Any
    _optional_components = list(COMPONENTS)
    model_cpu_offload_seq = "generator_model"

    def __init__(
        self,
        generator_model: PreTrainedModel | None = None,
        processor: BaseImageProcessor | None = None,
        discriminator: PreTrainedModel | None = None,
    ) -> None:
        super().__init__()
        self._source: tuple[str, dict[str, Any]] | None = None
        self._weights: dict[str, Any] = {}
        stored = getattr(generator_model, "stored_checkpoint", None)  # its class is another one in each loader
        given = None if stored is not None else generator_model
        self.register_modules(generator_model=given, processor=processor, discriminator=discriminator)
        if stored is not None:
            self._load_stored(*stored)

    # -- loading --------------------------------------------------------------------------------------------------

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
        **options: Any,
    ) -> "CheckpointPipeline":
        """Load a checkpoint folder or Hub repository, in float32 unless a type is given.

        Args:
            pretrained_model_name_or_path: folder or repository.
            device: where the networks go; None leaves them on the CPU.
            trust_remote_code: run the checkpoint's own code; not needed while `dpsims_hf` is imported.
            load_discriminator: load it now instead of at the first `segment`.
            revision, token, cache_dir, local_files_only: as everywhere on the Hub. Code and weights are those of the
                revision.
            options: `force_download`, `proxies`, `subfolder` (of the checkpoint in the repository); `dtype` or
                `torch_dtype` (a type, or {component: type, "default": type}), `variant` ("fp16":
                model.fp16.safetensors; a discriminator without the variant is loaded without it), `use_safetensors`
                (never False), `low_cpu_mem_usage` (always so), `attn_implementation`; `device_map`: a device, {"":
                device}, or "auto" or "balanced": the first accelerator, else the CPU; components to use instead of the
                stored ones (`generator_model`, `processor`, `discriminator`).

        Raises:
            ValueError: if a local folder is missing or is no checkpoint folder, a file of the checkpoint asks for
                what no such model has, or an option is unknown or cannot be met.
        """
        source = os.fspath(pretrained_model_name_or_path)
        place: dict[str, Any] = {"revision": revision, "token": token}
        place |= {"cache_dir": cache_dir, "local_files_only": local_files_only}
        given = {name: options.pop(name, None) for name in COMPONENTS}
        place |= {name: options.pop(name) for name in PLACE if options.get(name)}
        check_folder(source, place.get("subfolder", ""))
        if device is not None and options.get("device_map") is not None:
            raise ValueError(f"device={device} and device_map={options['device_map']!r} are given: give one of them")
        weights = weight_options(options)
        pipeline = cls(**given)
        pipeline._load_components(source, place | {"trust_remote_code": trust_remote_code}, weights)
        pipeline.register_to_config(_name_or_path=source)
        if load_discriminator:
            pipeline.load_discriminator()
        return pipeline if device is None else pipeline.to(device)

    def register_to_config(self, **kwargs: Any) -> None:
        """Record config entries; the last one that `DiffusionPipeline.from_pretrained` records names the source."""
        super().register_to_config(**kwargs)
        if kwargs.get("_name_or_path") is not None and self.generator_model is None:
            raise ValueError(
                f"model_index.json of {shortened(str(kwargs['_name_or_path']))} is of an older version and does not "
                "say what revision, type or device was asked for; load it by "
                "SemanticImageSynthesisPipeline.from_pretrained and save it anew"
            )

    def _load_stored(self, folder: str, options: dict[str, Any]) -> None:
        """Load what diffusers' loader has fetched; its code ran, so the user trusts the repository's."""
        source, place = hub_place(folder)
        self._load_components(source, place | {"trust_remote_code": True}, weight_options(options))

    def _load_components(self, source: str, options: dict[str, Any], weights: dict[str, Any]) -> None:
        where = {name: value for name, value in options.items() if name != "trust_remote_code"}
        options = options | {"revision": pinned_revision(source, **where)}  # nothing changes between check and load
        self._source, self._weights = (source, options), weights
        check_config_file(source, **options)
        check_processor_file(source, **options)
        if self.processor is None:  # first: a wrong one costs no weights
            self.processor = AutoImageProcessor.from_pretrained(source, **options)
        if self.generator_model is None:
            self.generator_model = _whole_model(source, options | self._weights_of("generator_model"))
        labels = self.generator_model.config.num_labels
        if self.processor.num_labels != labels:
            raise ValueError(
                f"{shortened(source)}: preprocessor_config.json names {self.processor.num_labels} classes, and the "
                f"generator has {labels}; they are not of one model"
            )

    def _weights_of(self, component: str) -> dict[str, Any]:
        """What `AutoModel.from_pretrained` is told about one network."""
        dtype = self._weights.get("dtype")
        if not isinstance(dtype, dict):
            return dict(self._weights)
        chosen = dtype.get(component, dtype.get("default", torch.float32))
        return self._weights | {"dtype": chosen}

    @property
    def revision(self) -> str | None:
        """The commit of the Hub repository that it was loaded from; None for a folder."""
        return self._source[1].get("revision") if self._source else None

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
        return None if self._source is None else read_discriminator_config(*self._source)

    def _stored_discriminator(self) -> PreTrainedModel | None:
        """The checkpoint's discriminator; None if it has none."""
        if self._source is None or self.stored_discriminator_config() is None:
            return None
        source, options = self._source
        place, weights = discriminator_place(options), self._weights_of("discriminator")
        try:
            loaded = _whole_model(source, place | weights)
        except OSError:  # it has no such variant
            if weights.pop("variant", None) is None:
                raise
            loaded = _whole_model(source, place | weights)
        return loaded.to(self.generator_model.device)

    # -- saving ---------------------------------------------------------------------------------------------------

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        include_backbone: bool | None = None,
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a checkpoint folder (without a card) that loads through this class and through the Auto classes.

        Args:
            save_directory: made if it does not exist.
            include_backbone: put the weights of the discriminator's frozen backbone inside; None does as the
                checkpoint did that it came from.
            safe_serialization: only True: weights are written as safetensors alone.
            variant: "fp16" writes model.fp16.safetensors beside what is there.
            max_shard_size: of a file of weights, such as "5GB".
            push_to_hub: also put it on the Hub, see `push_to_hub`.
            repo_id: the repository; None is the folder's name.
            kwargs: of `push_to_hub`, otherwise of no effect.
        """
        if not safe_serialization:
            raise ValueError("safe_serialization=False: weights are written as safetensors alone; leave it out")
        self._require_generator()
        if self.discriminator is None:
            self.discriminator = self._stored_discriminator()
        if include_backbone is None:
            include_backbone = getattr(getattr(self.discriminator, "config", None), "backbone_in_checkpoint", False)
        parts = (self.generator_model, self.processor, self.discriminator)
        write_components(save_directory, *parts, include_backbone, variant, max_shard_size or "50GB")
        if push_to_hub:
            options: Any = {"include_backbone": include_backbone, "variant": variant, "max_shard_size": max_shard_size}
            self.push_to_hub(repo_id or Path(save_directory).name, **options, **kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        create_pr: bool = False,
        safe_serialization: bool = True,
        variant: str | None = None,
        *,
        commit_description: str | None = None,
        revision: str | None = None,
        tags: list[str] | None = None,
        max_shard_size: int | str | None = None,
        include_backbone: bool | None = None,
    ) -> CommitInfo:
        """Put the whole checkpoint and a card (where there is none) on the Hub in one commit, or make nothing there.

        Args:
            repo_id: "user/name", or "name" for one of the token's user. Model files there that are not among those of
                this pipeline go.
            commit_message, private, token, create_pr, commit_description, revision, tags: see `push_saved`.
            safe_serialization, variant, max_shard_size, include_backbone: see `save_pretrained`.

        Raises:
            ValueError: see `push_saved`.
        """
        saving: Any = {"safe_serialization": safe_serialization, "variant": variant, "max_shard_size": max_shard_size}
        title = f"{type(self.generator_model).__name__} with its processor"
        return push_saved(
            lambda folder: self.save_pretrained(folder, include_backbone, **saving),
            repo_id,
            lambda name: plain_card(name, title, ["gan", "image-to-image"], USAGE.format(name), "diffusers"),
            commit_message=commit_message or "Upload pipeline",
            commit_description=commit_description,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            tags=tags,
            replaces=() if variant else REPLACED,
        )

    def _require_generator(self) -> None:
        if self.generator_model is None or self.processor is None:
            raise ValueError("this pipeline is empty; load it by from_pretrained, or pass generator_model, processor")


def _whole_model(source: str, options: dict[str, Any]) -> Any:
    """A network of a checkpoint, all of whose weights are there."""
    network, info = AutoModel.from_pretrained(source, output_loading_info=True, **options)
    check_loaded(source, network, info, most_missing=0)
    return network


def weight_options(options: dict[str, Any]) -> dict[str, Any]:
    """What `AutoModel.from_pretrained` is told of how networks are made.

    Args:
        options: of a user or of diffusers' loader, by their names there.

    Raises:
        ValueError: for one that is unknown, contradicts another, or cannot be met.
    """
    options = dict(options)
    old_name, given = options.pop("torch_dtype", None), options.pop("dtype", None)
    if old_name is not None and given is not None and old_name != given:
        raise ValueError(f"dtype={given} and torch_dtype={old_name} contradict each other: give dtype alone")
    weights: dict[str, Any] = {"dtype": checked_dtype(given if given is not None else old_name)}
    weights |= {name: options.pop(name, None) for name in WEIGHTS[1:]}
    options.pop("low_cpu_mem_usage", None)  # transformers always builds networks without memory of their own
    weights["device_map"] = whole_device_map(options.pop("device_map", None))
    spread = [name for name in SPREAD if options.pop(name, None) is not None]
    if spread:
        raise ValueError(f"{spread[0]} is given, but a generator is not split over devices or disks: leave it out")
    if options:
        known = ", ".join((*PLACE, *WEIGHTS, "torch_dtype", "device_map", "low_cpu_mem_usage", *COMPONENTS))
        raise ValueError(f"from_pretrained knows no {next(iter(options))!r}; it knows {known}")
    return {name: value for name, value in weights.items() if value is not None}


def checked_dtype(dtype: Any) -> Any:
    """A floating type of torch, its name, "auto", or {component: one}; or a ValueError."""
    if isinstance(dtype, dict):
        unknown = [name for name in dtype if name not in (*COMPONENTS, "default")]
        if unknown:
            raise ValueError(f"dtype names {unknown[0]!r}; its keys are {', '.join(COMPONENTS)} and default")
        return {name: checked_dtype(value) for name, value in dtype.items()}
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) and dtype != "auto" else dtype
    if found is None or found == "auto" or (isinstance(found, torch.dtype) and found.is_floating_point):
        if found is not None or dtype is None:
            return found
    raise ValueError(f"dtype={dtype!r} is no floating type: give torch.bfloat16, torch.float16 or torch.float32")


def whole_device_map(device_map: Any) -> dict[str, Any] | None:
    """A map that puts each network as a whole on one device; None leaves them on the CPU.

    Raises:
        ValueError: for a map that splits them.
    """
    if device_map is None:
        return None
    if device_map in ("auto", "balanced"):
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return {"": accelerator or torch.device("cpu")}
    device: Any = device_map.get("") if isinstance(device_map, dict) and set(device_map) == {""} else device_map
    try:
        return {"": torch.device(device)}
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(
            f"device_map={device_map!r}: a generator is small and not split over devices; give a device such as "
            '"cuda", or "auto"'
        ) from None


def hub_place(folder: str) -> tuple[str, dict[str, Any]]:
    """Where the files of a checkpoint come from: the folder itself if its code is there, else its repository.

    diffusers fetches weights, configs and the pipeline's code, and leaves the networks' code on the Hub.

    Args:
        folder: of a checkpoint; a snapshot in a cache of the Hub says repository and commit.

    Returns:
        Folder or repository, and the options by which the same commit is read.
    """
    found = SNAPSHOT.search(Path(folder).as_posix())
    if found is None or is_complete(Path(folder)):
        return folder, {}
    cache_dir = str(Path(folder).parents[2])
    return f"{found['owner']}/{found['name']}", {"revision": found["commit"], "cache_dir": cache_dir}


def is_complete(folder: Path) -> bool:
    """Whether the code of all parts of a checkpoint stands in its folder."""
    configs = [
        folder / "config.json",
        folder / "preprocessor_config.json",
        folder / DISCRIMINATOR_FOLDER / "config.json",
    ]
    maps = [read_json(path, path.name).get("auto_map") for path in configs if path.is_file()]
    references = [str(reference) for auto_map in maps if isinstance(auto_map, dict) for reference in auto_map.values()]
    return all(
        (folder / name).is_file() for name in reached_files(folder, {f"{r.split('.')[0]}.py" for r in references})
    )


__all__ = ["COMPONENTS", "CheckpointPipeline", "checked_dtype", "hub_place", "weight_options", "whole_device_map"]
