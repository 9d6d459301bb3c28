"""The contract of objectives, for every one that comes with Orkester."""

from orkester.evals.objectives import OBJECTIVES
from orkester.testing import ObjectiveContract

# As classes of their own, so that each objective has its name in the list of tests.
for _name in OBJECTIVES.names():
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (ObjectiveContract,), {"name": _name})
