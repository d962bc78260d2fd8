"""Settings for every test."""

from __future__ import annotations

from hypothesis import settings

# no timed assertions: a busy machine is not a defect
settings.register_profile("kurado", deadline=None)
settings.load_profile("kurado")
