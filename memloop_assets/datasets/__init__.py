"""Datasets: what a week's trajectories teach, free of holdout tasks."""
