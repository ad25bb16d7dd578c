# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Named settings of whole runs, a file for each family, every value with its source."""
