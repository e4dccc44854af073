"""Promotion: the gate that compares challenger and champion, and can say no."""
