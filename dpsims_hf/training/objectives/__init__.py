# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What is minimised: one file per paper, the terms that all papers share, and what the terms look at."""
