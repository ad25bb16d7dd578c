#!/usr/bin/env python
# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Train a generator and a discriminator for semantic image synthesis.

    accelerate launch train_accelerate.py --recipe camvid_small --train_dir DIR --output_dir OUT

The program is dpsims_hf/training/command.py, installed as `dpsims-train`; this is the file that launchers start.
"""

import os


STARTED_BY = os.getppid()  # before the long imports, in which a launcher may end

from dpsims_hf.commands import needs  # noqa: E402


with needs("train"):
    from dpsims_hf.training.command import main, make_accelerator, run


__all__ = ["main", "make_accelerator", "run"]


if __name__ == "__main__":
    run(started_by=STARTED_BY)
