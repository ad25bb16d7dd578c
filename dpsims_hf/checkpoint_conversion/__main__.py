# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Convert weights of the original OASIS and DP-GAN programs to a checkpoint folder.

python -m dpsims_hf.checkpoint_conversion --family oasis --generator G.pth [--discriminator D.pth]
    --output_dir OUT [--label_preset NAME_OR_FILE] [--fold]
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..data.specs import DatasetSpec, label_presets, load_label_preset
from ..hub import fill_model_card, save_model_folder
from ..image_processing_files import default_palette
from ..modeling_base import check_multiples
from .networks import FAMILIES, convert_discriminator, convert_generator, load_original


TITLES = {"oasis": "OASIS", "dpgan": "DP-GAN"}
IMAGE_SIZE = (256, 256)  # of the originals, where the dataset has no other custom


def _from_file(convert: Callable[..., Any], family: str, path: str, *sizes: Any, **names: Any) -> Any:
    state = load_original(path)
    try:
        return convert(family, state, *sizes, **names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _label_space(options: argparse.Namespace) -> DatasetSpec | None:
    if options.label_preset is None:
        return None
    spec = load_label_preset(options.label_preset)
    if options.num_labels not in (None, spec.num_labels):
        contradiction = f"{spec.num_labels} classes, but --num_labels is {options.num_labels}; leave one of them out"
        raise ValueError(f"label preset {options.label_preset} has {contradiction}")
    void = spec.void_label_id if options.void_label_id is None else options.void_label_id
    return dataclasses.replace(spec, void_label_id=void)


def _run(options: argparse.Namespace) -> str:
    family, spec, discriminator = options.family, _label_space(options), None
    num_labels, void = (spec.num_labels, spec.void_label_id) if spec else (options.num_labels, options.void_label_id)
    names = {"id2label": spec.id2label if spec else None, "void_label_id": void}
    size = tuple(options.image_size or (spec and spec.crop_size) or IMAGE_SIZE)
    if options.discriminator:
        discriminator = _from_file(convert_discriminator, family, options.discriminator, num_labels, **names)
        check_multiples("image_size", size, discriminator.config.size_divisor)
        num_labels = discriminator.config.num_labels
    generator = _from_file(convert_generator, family, options.generator, num_labels, options.noise_dim, size, **names)
    config = generator.config
    if spec is None:
        palette = tuple((red, green, blue) for red, green, blue in default_palette(config.num_labels))
        spec = DatasetSpec(f"{config.num_labels} classes", tuple(config.id2label.values()), palette, void)
    models = [model for model in (generator, discriminator) if model is not None]
    for model in models if options.fold else []:
        model.fold_spectral_norm()
    processor = spec.image_processor(size=size, size_divisor=config.size_divisor)
    card = fill_model_card(generator, processor, discriminator, **_card_fields(options, spec.name))
    folder = save_model_folder(options.output_dir, generator, processor, discriminator, card=card)
    counts = [f"{type(m).__name__} {sum(p.numel() for p in m.parameters()) / 1e6:.2f} M parameters" for m in models]
    return (
        f"{folder}: {', '.join(counts)}; {spec.num_labels} classes (void: {'none' if void is None else void}), "
        f"{config.noise_dim} channels of noise, {size[0]}x{size[1]} (height x width)"
    )


def _card_fields(options: argparse.Namespace, label_space: str) -> dict[str, Any]:
    title = TITLES[options.family]
    files = ", ".join(Path(path).name for path in (options.generator, options.discriminator) if path)
    return {
        "name": f"{title}, {label_space}",
        "data_terms": f"The licence of the weights is not stated. The original {title} program is under AGPL-3.0.",
        "training": f"Not trained here: converted from original {title} weights ({files}).",
        "tags": [title.lower()],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dpsims_hf.checkpoint_conversion",
        description="Convert weights of the original OASIS and DP-GAN programs to a checkpoint folder.",
    )
    add = parser.add_argument
    add("--family", choices=tuple(FAMILIES), required=True)
    add("--generator", metavar="G.pth", required=True, help="state dict; best the EMA's")
    add("--discriminator", metavar="D.pth", help="state dict; needed to train on, and to segment")
    add("--output_dir", metavar="OUT", required=True, help="folder to write")
    presets = f"{', '.join(label_presets())}, or a classes.json"
    add("--label_preset", metavar="NAME_OR_FILE", help=f"names, colours and void of the classes: {presets}")
    add("--fold", action="store_true", help="plain weights: smaller and faster, not to be trained on")
    add("--image_size", metavar=("H", "W"), nargs=2, type=int, help="of training; default: the preset's, or 256 256")
    add("--noise_dim", metavar="N", type=int, help="channels of the 3D noise; default: what the classes leave, or 64")
    add("--num_labels", metavar="N", type=int, help="classes, void included; default: the discriminator's or preset's")
    add("--void_label_id", metavar="N", type=int, help="the class that is void; default: the preset's")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    try:
        print(_run(_parser().parse_args(arguments)))
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
