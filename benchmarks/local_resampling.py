# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How local is new noise? Mean absolute change of an image inside and outside the pixels that got it.

    python -m benchmarks.local_resampling CHECKPOINT --label car --label_maps FILE [FILE ...] [--seeds 4]

The image of a seed is compared with the one whose chosen class has other noise. Printed: grey levels (0 to 255), the
mean over label maps and seeds; and that the same seeds twice give the same image.
"""

import argparse

import numpy as np
import torch

from dpsims_hf import SemanticImageSynthesisPipeline


def main() -> None:
    """Measure one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--label", required=True, help="name of the class that is re-sampled")
    parser.add_argument("--label_maps", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=4)
    args = parser.parse_args()
    pipe = SemanticImageSynthesisPipeline.from_pretrained(args.checkpoint)
    wanted = {name: key for key, name in pipe.processor.id2label.items()}[args.label]
    inside, outside, repeated = [], [], 0
    for path in args.label_maps:
        label_map = pipe.processor(label_maps=path).label_map
        mask = (label_map[0] == wanted).numpy()
        if not mask.any() or mask.all():
            print(f"{path}: left out, {args.label} covers {100 * mask.mean():.0f} % of it")
            continue
        options = {"seed": 0, "num_images_per_label_map": args.seeds, "output_type": "np_uint8"}
        before, again = (pipe(label_map, **options).images.astype(np.int16) for _ in range(2))
        after = pipe(label_map, resample_labels=[args.label], **options).images.astype(np.int16)
        change = np.abs(after - before).mean(axis=(0, 3))
        inside.append(change[mask].mean())
        outside.append(change[~mask].mean())
        repeated = max(repeated, int(np.abs(again - before).max()))
    if not inside:
        raise SystemExit(f"no label map has some {args.label}")
    ratio = np.mean(inside) / max(np.mean(outside), 1e-9)
    print(
        f"{args.label} in {len(inside)} label maps, {args.seeds} seeds each: change inside {np.mean(inside):.2f}, "
        f"outside {np.mean(outside):.2f} grey levels, ratio {ratio:.1f}; same seeds twice: {repeated}"
    )


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
