"""From voxels and tables to findings, boxes and grades."""
