"""Exports: one writer per trainer, each in that trainer's exact shape; what goes into a file is the tables' business."""
