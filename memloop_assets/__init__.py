"""memloop turns an agent's logs into a better router, every ISO week, behind a gate that can say no."""

__version__ = "0.1.0"
