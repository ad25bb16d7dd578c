# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Settings of OASIS runs, each value with its source.

"paper" is Schoenfeld et al., ICLR 2021; what the released code has instead stands beside it (`--as_released` takes
it); "ours" a choice of this project.
"""

from .recipe import CAMVID_SMALL_RUN, KEEP_ASPECT, TINY_RUN, Recipe, Setting, merged, sized


_PAPER: dict[str, dict[str, Setting]] = {
    "training": {
        "learning_rate_generator": Setting(1e-4, "paper App. C.3"),
        "learning_rate_discriminator": Setting(4e-4, "paper App. C.3"),
        "adam_beta1": Setting(0.0, "paper App. C.3"),
        "adam_beta2": Setting(0.999, "paper App. C.3"),
        "ema_decay": Setting(0.9999, "paper App. C.3"),
        "ema_warmup": Setting(False, "paper App. C.3, which names none"),
        "batch_norm_refresh_batches": Setting(50, "released code; the paper does not say"),
    },
    "data": {
        "horizontal_flip": Setting(0.5, "paper App. C.3: the setting of SPADE"),
        "rare_class_sampling": Setting(False, "paper App. C.3, which names none"),
    },
    "loss": {
        "class_balancing": Setting(True, "paper Eq. 1"),
        "noise_sampling": Setting("image", "paper Sec. 3.3, Table I"),
        "lambda_labelmix": Setting(5.0, "paper App. C.3"),
        "labelmix_as_released": Setting(False, "paper Sec. 3.2: a coin per class", released=True),
        "lambda_vgg": Setting(0.0, "paper App. C.3: 10, for ablations only"),
    },
    "generator": {"noise_dim": Setting(64, "paper Sec. 3.3")},
}

# Not for the small runs, which were tried with the released code's form.
_CLASS_WEIGHTS = {"loss": {"class_weight_form": Setting("inverse_frequency", "paper Eq. 2", released="balanced")}}

SPADE_CROP: dict[str, dict[str, Setting]] = {
    "data": {
        "scale_range": Setting(
            (286 / 256, 286 / 256), "paper App. C.3: the setting of SPADE, 286 to 256", released=(1.0, 1.0)
        )
    }
}


def _run(images: int, batch: int, epochs: int) -> dict[str, dict[str, Setting]]:
    return {
        "training": {
            "batch_size": Setting(batch // 4, f"paper App. C.3: {batch} in all, on 4 processes"),
            "max_train_steps": Setting(images * epochs // batch, f"paper App. C.3: {epochs} epochs of {images}"),
        }
    }


# A run of minutes on a CPU, from random weights; with the paper's start and spectral norm D learns too slowly for it.
CAMVID_SMALL: dict[str, dict[str, Setting]] = {
    "training": {
        "learning_rate_generator": Setting(1e-3, "ours: a short run"),
        "ema_warmup": Setting(True, "ours: a short run"),
    },
    "data": {"scale_range": Setting((1.4, 2.0), "ours: crops near the scale of 192x256")},
    "generator": {"init_gain": Setting(1.0, "ours: a short run")},
    "discriminator": {
        "init_gain": Setting(1.0, "ours: a short run"),
        "spectral_norm": Setting(False, "ours: a short run; with it D hardly learns the classes in 200 steps"),
    },
}

RECIPES: dict[str, Recipe] = {
    "oasis/ade20k": Recipe(
        "oasis",
        "ade20k",
        "OASIS on ADE20K, 256x256 (paper)",
        merged(
            _PAPER,
            _CLASS_WEIGHTS,
            SPADE_CROP,
            sized(256, 256, "paper App. C.3"),
            _run(20210, 32, 200),
            {"loss": {"lambda_labelmix": Setting(5.0, "paper App. C.3", released=10.0)}},
        ),
    ),
    "oasis/coco_stuff": Recipe(
        "oasis",
        "coco_stuff",
        "OASIS on COCO-Stuff, 256x256 (paper)",
        merged(
            _PAPER,
            _CLASS_WEIGHTS,
            SPADE_CROP,
            sized(256, 256, "paper App. C.3"),
            _run(118287, 32, 100),
            {"loss": {"lambda_labelmix": Setting(10.0, "paper App. C.3")}},
        ),
    ),
    "oasis/cityscapes": Recipe(
        "oasis",
        "cityscapes",
        "OASIS on Cityscapes, 256x512 (paper)",
        merged(
            _PAPER,
            _CLASS_WEIGHTS,
            sized(256, 512, "paper App. C.3"),
            _run(2975, 20, 200),
            {
                "training": {
                    "learning_rate_generator": Setting(1e-4, "paper App. C.3", released=4e-4),
                    "ema_decay": Setting(0.9999, "paper App. C.3", released=0.999),
                }
            },
        ),
    ),
    "oasis/camvid_small": Recipe(
        "oasis", "camvid_small", "OASIS on CamVid at 96x128", merged(_PAPER, CAMVID_SMALL_RUN, CAMVID_SMALL)
    ),
    "oasis/labelme_small": Recipe(
        "oasis",
        "labelme_small",
        "OASIS on LabelMeFacade at 96x128",
        merged(_PAPER, CAMVID_SMALL_RUN, CAMVID_SMALL, KEEP_ASPECT),
    ),
    "oasis/tiny": Recipe(
        "oasis",
        "tiny",
        "OASIS, a minute on any machine: for tests",
        merged(
            _PAPER,
            TINY_RUN,
            {
                "generator": {"noise_dim": Setting(8, "ours: for tests")},
            },
        ),
    ),
}
