# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Parts that several tabs share."""
