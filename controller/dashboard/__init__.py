"""The dashboard: served here; its sources are in ``web``, what is built of them in ``built``."""
