# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Where the images under test come from: a generator, a folder of pictures, or the real photos themselves.

A source gives 8-bit images for a batch of the dataset; everything that measures is the same for all sources.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import nn
from transformers.utils import cached_file

from ..data import SemanticImageDataset, stateless_generator
from ..data.sources.foreign_files import NAME, check_file
from ..image_processing_files import listing, read_photo, resize_photo
from ..image_processing_semantic import SemanticImageProcessor
from .features import file_sha256, full_precision


PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
PHOTO_RULE = "photos resized like the training loader: Pillow bicubic, antialiased, 8 bit"
LABEL_RULE = "label maps resized by nearest neighbour, pixel centres"


class ImageSource(Protocol):
    """What is evaluated. `gives_many`: whether it has several images for one label map."""

    gives_many: bool

    def images(
        self, batch: dict[str, torch.Tensor], seed: int = 0, copies: Sequence[int] | None = None
    ) -> torch.Tensor:
        """The images of a collated batch of `SemanticImageDataset`.

        Args:
            batch: `label_map`, `pixel_values`, `index`.
            seed: Of the noise.
            copies: Which of the many images of its label map each one is; None is 0 for all.

        Returns:
            (batch, 3, height, width) uint8.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """What results.json says about it."""
        ...


def noise_seed(seed: int, index: int, copy: int = 0) -> int:
    """The seed of one image's noise; `pipeline(label_map, seed=noise_seed(...))` makes the image again.

    Args:
        seed: Of the evaluation.
        index: Row of the label map in its split.
        copy: Which of several images of this label map.

    Returns:
        0 .. 2**31 - 1.
    """
    return stateless_generator(seed, index, copy).initial_seed() >> 33


class GeneratorSource:
    """A generator in its fast form and float32; the noise of each image depends on (seed, index, copy) only.

    Args:
        generator: label_map, noise -> images; put in eval mode.
        processor: Rounds to 8 bit as the pipeline does.
        facts: For results.json.
    """

    gives_many = True

    def __init__(
        self, generator: nn.Module, processor: SemanticImageProcessor, facts: dict[str, Any] | None = None
    ) -> None:
        fast = getattr(generator.eval(), "for_inference", None)
        self.generator, self.processor = generator if fast is None else fast("float32"), processor
        self._facts = facts or {}

    @torch.no_grad()
    def images(
        self, batch: dict[str, torch.Tensor], seed: int = 0, copies: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Generate; noise is drawn per image on the CPU."""
        parameter = next(self.generator.parameters(), None)
        device = self.generator.device if parameter is None else parameter.device
        rows = batch["index"].tolist()
        seeds = [noise_seed(seed, *key) for key in zip(rows, copies or [0] * len(rows), strict=True)]
        noise = [self.generator.sample_noise(1, generator=torch.Generator().manual_seed(s)) for s in seeds]
        inputs = {"label_map": batch["label_map"], "noise": torch.cat(noise)}
        if "instance_offsets" in batch:
            inputs["instance_offsets"] = batch["instance_offsets"]
        with full_precision(device.type):
            images = self.generator(**{name: value.to(device) for name, value in inputs.items()}).images
        return self.processor.postprocess(images, "pt_uint8")

    def facts(self) -> dict[str, Any]:
        """Kind, class and weights of the generator."""
        kind = {"kind": "generator", "generator": type(self.generator).__name__}
        return kind | self._facts | {"noise": "one vector per image, from (seed, index, copy)", "dtype": "float32"}


class RealSource:
    """The photos of the dataset: the ceiling of every segmenter score."""

    gives_many = False

    def images(
        self, batch: dict[str, torch.Tensor], seed: int = 0, copies: Sequence[int] | None = None
    ) -> torch.Tensor:
        """The photos as 8 bit again (exact: `pixel_values` came from 8 bit)."""
        return SemanticImageProcessor.postprocess(None, batch["pixel_values"], "pt_uint8")

    def facts(self) -> dict[str, Any]:
        """Kind and resize rule."""
        return {"kind": "real photos", "resize": PHOTO_RULE}


class FolderSource:
    """Pictures that any system wrote, one per label map, known by the label file's name without its suffix.

    Args:
        folder: The pictures.
        dataset: Its rows name the pictures.
        indices: Rows that are measured.
        resize: Resize pictures of another size (Pillow bicubic, antialiased) instead of refusing them.

    Raises:
        ValueError: no folder, no pictures, two of one name, or label maps without a picture.
    """

    gives_many = False

    def __init__(
        self, folder: str | Path, dataset: SemanticImageDataset, indices: Iterable[int], resize: bool = False
    ) -> None:
        self.folder, self.size, self.resize = Path(folder), dataset.transform.size, resize
        pictures = list_pictures(self.folder)
        stems = {index: file_stem(dataset, index) for index in range(len(dataset))}
        wanted = [stems[index] for index in indices]
        missing = [stem for stem in wanted if stem not in pictures]
        if missing:
            raise ValueError(
                f"{self.folder}: no picture for {len(missing)} of {len(wanted)} label maps: {listing(missing, 5)}; "
                "pictures need the names of the label files"
            )
        extra = sorted(pictures.keys() - set(stems.values()))
        self.warnings = []
        if extra:
            names = listing([pictures[stem].name for stem in extra], 5)
            self.warnings.append(f"{self.folder}: {len(extra)} pictures belong to no label map: {names}; not measured")
        self._files = {index: pictures[stem] for index, stem in stems.items() if stem in pictures}

    def images(
        self, batch: dict[str, torch.Tensor], seed: int = 0, copies: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Read the pictures of a batch; a wrong size or a corrupt file is named."""
        height, width = self.size
        pictures = []
        for index in batch["index"].tolist():
            picture = read_photo(self._files[index])
            if picture.shape[:2] != (height, width) and not self.resize:
                raise ValueError(
                    f"{self._files[index]}: {picture.shape[0]}x{picture.shape[1]} (height x width), label maps are "
                    f"{height}x{width}; set --image_size, or --resize_images to resize by Pillow bicubic"
                )
            pictures.append(torch.from_numpy(resize_photo(picture, height, width).copy()))
        return torch.stack(pictures).permute(0, 3, 1, 2).contiguous()

    def facts(self) -> dict[str, Any]:
        """Kind, folder name and resize rule."""
        rule = "Pillow bicubic, antialiased, 8 bit" if self.resize else "none"
        return {"kind": "pictures", "folder": self.folder.resolve().name, "resize": rule}


class SavingSource:
    """A source whose images are kept as PNG files, for evaluators outside: FOLDER/NAME.png by the label file's name.

    Args:
        source: Gives the images.
        folder: Where they go; with several seeds FOLDER/seed_SEED/NAME.png.
        dataset: Its rows name the files.
        seeds: Of the evaluation.

    Raises:
        ValueError: the folder holds files already, which an evaluator would count, or two label maps have one name.
    """

    def __init__(
        self, source: ImageSource, folder: str | Path, dataset: SemanticImageDataset, seeds: Sequence[int]
    ) -> None:
        self.source, self.folder, self.seeds = source, Path(folder), list(seeds)
        self.gives_many = source.gives_many
        self._names = [file_stem(dataset, index) for index in range(len(dataset))]
        twice = [name for name, count in Counter(self._names).items() if count > 1]
        if twice:
            raise ValueError(f"--save_images: {len(twice)} names of label files come twice: {listing(twice, 5)}")
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ValueError(f"--save_images {folder}: not an empty folder; name one, or a new one")
        self._saved: set[int] = set()  # seeds

    def images(
        self, batch: dict[str, torch.Tensor], seed: int = 0, copies: Sequence[int] | None = None
    ) -> torch.Tensor:
        """The source's images; the first of each label map is written."""
        images = self.source.images(batch, seed, copies)
        if copies is None:
            self._save(images, batch["index"].tolist(), seed)
        return images

    def complete(self, batches: Iterable[dict[str, torch.Tensor]], seed: int) -> None:
        """Make and write the images of a seed that no metric has asked for."""
        if seed not in self._saved:
            for batch in batches:
                self.images(batch, seed)

    def _save(self, images: torch.Tensor, rows: list[int], seed: int) -> None:
        folder = self.folder / f"seed_{seed}" if len(self.seeds) > 1 else self.folder
        folder.mkdir(parents=True, exist_ok=True)
        for index, image in zip(rows, images.permute(0, 2, 3, 1).cpu().numpy(), strict=True):
            Image.fromarray(image).save(folder / f"{self._names[index]}.png")
        self._saved.add(seed)

    def facts(self) -> dict[str, Any]:
        """Those of the source."""
        return self.source.facts()


def list_pictures(folder: Path) -> dict[str, Path]:
    """Picture files of a folder by name without suffix. Raises ValueError for none, or two of one name."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; --images takes a folder of pictures")
    pictures: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
            if path.stem in pictures:
                raise ValueError(f"{path}: same name as {pictures[path.stem].name}; keep one of the two")
            pictures[path.stem] = check_file(path)
    if not pictures:
        raise ValueError(f"{folder}: no pictures in it ({', '.join(s[1:] for s in PICTURE_SUFFIXES)})")
    return pictures


def file_stem(dataset: SemanticImageDataset, index: int) -> str:
    """Name of a row's label file without its suffix; the row's number in six digits where the set has no files, or
    names them in a way that files are not called.
    """
    cell = dataset.table[index]["label_map"]
    path = cell.get("path") if isinstance(cell, dict) else None
    stem = Path(str(path)[:1000]).stem if path else ""
    return stem if stem.strip(".") and NAME.accepts(stem) else f"{index:06d}"


# -- checkpoints ------------------------------------------------------------------------------------------------------


def load_pipeline(model: str, device: torch.device) -> Any:
    """The checkpoint's `SemanticImageSynthesisPipeline`; ValueError in one line if it is none."""
    from ..pipeline_semantic_image_synthesis import SemanticImageSynthesisPipeline

    try:
        pipe = SemanticImageSynthesisPipeline.from_pretrained(model, device=device, trust_remote_code=False)
    except (OSError, KeyError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"--model {model} is no checkpoint of this package: {reason}") from None
    if not hasattr(pipe.generator_model, "sample_noise"):
        raise ValueError(f"--model {model} is a {type(pipe.generator_model).__name__}, not a generator")
    return pipe


def checkpoint_facts(model: str, revision: str | None = None) -> dict[str, Any]:
    """Name and SHA-256 of a checkpoint's weights: a number belongs to a file, not to a folder's name.

    Args:
        model: folder or repository.
        revision: commit that was loaded.
    """
    where = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
    path = cached_file(model, "model.safetensors", **where)
    name = Path(model).resolve().name if Path(model).is_dir() else model
    return {"model": name, "weights_sha256": file_sha256(path) if path else None}


def with_random_weights(generator: nn.Module, seed: int = 0) -> nn.Module:
    """A generator of the same configuration with fresh weights, on the same device: the lower end of every scale."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(generator)(generator.config)
    return fresh.to(next(generator.parameters()).device).eval()


def check_label_space(generator: nn.Module, dataset: SemanticImageDataset) -> list[str]:
    """Compare the classes of generator and set.

    Returns:
        One line for each class with two names; empty if all agree.

    Raises:
        ValueError: different numbers of classes.
    """
    config, spec = generator.config, dataset.spec
    if config.num_labels != spec.num_labels:
        raise ValueError(
            f"the model has {config.num_labels} classes and {dataset.name} has {spec.num_labels} (void included): "
            "evaluate on the label space that the model was trained on"
        )
    names = {int(key): name for key, name in config.id2label.items()}
    return [
        f"class {label} is {names[label]!r} in the model and {name!r} in {dataset.name}"
        for label, name in spec.id2label.items()
        if names.get(label, name) != name
    ]


__all__ = [
    "FolderSource",
    "GeneratorSource",
    "ImageSource",
    "RealSource",
    "SavingSource",
    "check_label_space",
    "checkpoint_facts",
    "file_stem",
    "list_pictures",
    "load_pipeline",
    "noise_seed",
    "with_random_weights",
]
