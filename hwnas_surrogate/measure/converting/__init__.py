"""Converting networks to formats whose converters don't belong into the user's environment: LiteRT's.

The converter, litert-torch, has an environment of its own (:mod:`~.environment`), in which processes convert exported
programs (:mod:`~.converter`); what they write is kept (:mod:`~.cache`).
"""

from __future__ import annotations
