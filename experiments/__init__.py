# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The papers' effects at equal budget: `python -m experiments TABLE ...` (see `__main__`)."""
