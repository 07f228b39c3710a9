"""Observation operators H: what is observed of a field, ``y = H(x) + error``.

A method takes one as ``operator=``; the default, `Mask`, is interpolation. `Blur` makes it a
deconvolution, `BlockMean` downscaling, `Geostrophic` gives currents of heights, `Points` observe
anywhere; `Linear` and `Function` are the user's own. They compose, ``BlockMean() @ Blur(...)`` are
block means of a blurred field, and stack: `Stacked` are several kinds of observations of one state.

An operator is a frozen dataclass that derives from `Operator` and binds itself to the cells of a
patch (`Cells`): the numbers are in `xr4dvar.operators.bound`.
"""

from xr4dvar.operators.block_mean import BlockMean as BlockMean
from xr4dvar.operators.blur import Blur as Blur
from xr4dvar.operators.cells import Cells as Cells
from xr4dvar.operators.geostrophic import Geostrophic as Geostrophic
from xr4dvar.operators.mask import Mask as Mask
from xr4dvar.operators.operator import Composed as Composed
from xr4dvar.operators.operator import Operator as Operator
from xr4dvar.operators.own import Function as Function
from xr4dvar.operators.own import Linear as Linear
from xr4dvar.operators.points import Points as Points
from xr4dvar.operators.stacked import Stacked as Stacked

__all__ = [
    "BlockMean",
    "Blur",
    "Cells",
    "Composed",
    "Function",
    "Geostrophic",
    "Linear",
    "Mask",
    "Operator",
    "Points",
    "Stacked",
]
