"""Trajectories: from the lines of a log to task attempts with a grade."""
