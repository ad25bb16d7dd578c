# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Settings of SPADE+ runs, each value with its source.

"paper" is Schoenfeld et al., ICLR 2021 (OASIS), whose baseline SPADE+ is: SPADE without feature matching and with an
averaged generator, trained by the setting of Park et al. (CVPR 2019). What the released code of SPADE itself has
instead stands beside it (`--as_released` takes it); "ours" is a choice of this project.
"""

from .dpsims import LITE1
from .oasis import SPADE_CROP
from .recipe import CAMVID_SMALL_RUN, KEEP_ASPECT, TINY_RUN, Recipe, Setting, merged, sized


_PAPER: dict[str, dict[str, Setting]] = {
    "training": {
        "learning_rate_generator": Setting(1e-4, "paper App. C.3"),
        "learning_rate_discriminator": Setting(4e-4, "paper App. C.3"),
        "learning_rate_decay_start": Setting(1.0, "paper App. C.3: constant"),
        "adam_beta1": Setting(0.0, "paper App. C.3"),
        "adam_beta2": Setting(0.999, "paper App. C.3: the setting of SPADE", released=0.9),
        "ema_decay": Setting(0.9999, "paper Sec. 4 and App. C.3: with EMA", released=0.0),
        "ema_warmup": Setting(False, "paper App. C.3, which names none"),
        "batch_norm_refresh_batches": Setting(50, "released code of OASIS; the paper does not say"),
    },
    "data": {
        "horizontal_flip": Setting(0.5, "paper App. C.3: the setting of SPADE"),
        "rare_class_sampling": Setting(False, "paper App. C.3, which names none"),
    },
    "loss": {
        "lambda_vgg": Setting(10.0, "paper App. C.3"),
        "lambda_feature_matching": Setting(
            0.0, "paper Sec. 4: SPADE+ is trained without; SPADE has 10", released=10.0
        ),
    },
}

# SPADE+ of the tables without a diversity score.
_DETERMINISTIC = {"generator": {"noise_dim": Setting(0, "paper Sec. 3.3: deterministic in its default setup")}}


def _run(images: int, batch: int, epochs: int) -> dict[str, dict[str, Setting]]:
    return {
        "training": {
            "batch_size": Setting(batch // 4, f"paper App. C.3: {batch} in all, on 4 processes"),
            "max_train_steps": Setting(images * epochs // batch, f"paper App. C.3: {epochs} epochs of {images}"),
        }
    }


# A run of minutes on a CPU, from random weights.
_CAMVID_SMALL: dict[str, dict[str, Setting]] = {
    "training": {
        "learning_rate_generator": Setting(4e-4, "ours: a short run"),
        "ema_warmup": Setting(True, "ours: a short run"),
    },
    "data": {"scale_range": Setting((1.4, 2.0), "ours: crops near the scale of 192x256")},
    "perceptual": {
        "networks": Setting([LITE1], "ours: smaller than VGG19, and from a package"),
        "level_weights": Setting((0.25, 0.5, 1.0), "ours: rising with depth, as those of VGG19"),
    },
}

RECIPES: dict[str, Recipe] = {
    "spade/ade20k": Recipe(
        "spade",
        "ade20k",
        "SPADE+ on ADE20K, 256x256 (paper)",
        merged(_PAPER, _DETERMINISTIC, SPADE_CROP, sized(256, 256, "paper App. C.3"), _run(20210, 32, 200)),
    ),
    "spade/coco_stuff": Recipe(
        "spade",
        "coco_stuff",
        "SPADE+ on COCO-Stuff, 256x256 (paper)",
        merged(_PAPER, _DETERMINISTIC, SPADE_CROP, sized(256, 256, "paper App. C.3"), _run(118287, 32, 100)),
    ),
    "spade/cityscapes": Recipe(
        "spade",
        "cityscapes",
        "SPADE+ on Cityscapes, 256x512 (paper)",
        merged(_PAPER, _DETERMINISTIC, sized(256, 512, "paper App. C.3"), _run(2975, 20, 200)),
    ),
    "spade/camvid_small": Recipe(
        "spade", "camvid_small", "SPADE+ on CamVid at 96x128", merged(_PAPER, CAMVID_SMALL_RUN, _CAMVID_SMALL)
    ),
    "spade/labelme_small": Recipe(
        "spade",
        "labelme_small",
        "SPADE+ on LabelMeFacade at 96x128",
        merged(_PAPER, CAMVID_SMALL_RUN, _CAMVID_SMALL, KEEP_ASPECT),
    ),
    "spade/tiny": Recipe(
        "spade",
        "tiny",
        "SPADE+, a minute on any machine, random feature network: for tests",
        merged(
            _PAPER,
            TINY_RUN,
            {
                "generator": {"noise_dim": Setting(8, "ours: for tests")},
                "perceptual": {
                    "networks": Setting(
                        [{"network": "test_resnet", "out_indices": [1, 2], "weights": "random"}], "ours: for tests"
                    ),
                    "level_weights": Setting((1.0, 1.0), "ours: for tests"),
                },
            },
        ),
    ),
}
