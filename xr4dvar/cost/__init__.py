"""The variational cost: terms that add up, and the batch of observations that they compare."""

from xr4dvar.cost.batch import Batch as Batch
from xr4dvar.cost.cost import BackgroundTerm as BackgroundTerm
from xr4dvar.cost.cost import Cost as Cost
from xr4dvar.cost.cost import LeastSquares as LeastSquares
from xr4dvar.cost.cost import ObservationTerm as ObservationTerm
from xr4dvar.cost.cost import PriorTerm as PriorTerm
from xr4dvar.cost.cost import Variance as Variance

__all__ = [
    "BackgroundTerm",
    "Batch",
    "Cost",
    "LeastSquares",
    "ObservationTerm",
    "PriorTerm",
    "Variance",
]
