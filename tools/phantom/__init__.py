"""A procedural knee: image, label map, MOAKS table and the truth behind them.

The phantom imports nothing of the measuring code (an import contract holds it): its truth comes
from its own parameters and analytic shapes. `build.make_phantom` makes one knee,
`cohort.write_cohort` a cohort folder.
"""
