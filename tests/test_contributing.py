"""The recipes of docs/contributing.md work as printed."""

import re
import textwrap
from pathlib import Path

import torch

from xr4dvar.batch import Batch
from xr4dvar.cost import BackgroundTerm, Cost, ObservationTerm, Variance
from xr4dvar.solvers import minimise

PAGE = Path(__file__).parents[1] / "docs" / "contributing.md"


def test_the_solver_of_the_recipe_reaches_the_analysis():
    [code] = re.findall(r"^ +```python\n(.*?)^ +```$", PAGE.read_text(), re.S | re.M)
    names: dict = {"__name__": "recipe"}
    exec(compile(textwrap.dedent(code), str(PAGE), "exec"), names)
    batch = Batch.from_gappy(torch.tensor([[[[[2.0, float("nan")]]]], [[[[-1.0, 4.0]]]]]))
    cost = Cost([ObservationTerm(Variance(1.0)), BackgroundTerm(Variance(3.0))])
    state = minimise(cost, names["HeavyBall"](step_size=0.1), batch, steps=400)
    # of independent cells: B / (B + R) of the innovation, and nothing where nothing was seen
    torch.testing.assert_close(state.x, 0.75 * batch.y)
