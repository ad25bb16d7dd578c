# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The training side: losses, objectives, recipes, averaging and checkpoints. No model file imports it."""
