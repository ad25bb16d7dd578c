# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What a run leaves and how it ends: checkpoints, cards, curves, pushes; locks, signals, launchers."""
