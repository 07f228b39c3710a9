"""Patches of numpy arrays: solve them and put them together again, all in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from xr4dvar.errors import InputError, Problems
from xr4dvar.tiling.plan import Plan
from xr4dvar.tiling.sweep import (
    AnyArray,
    Settings,
    Solve,
    divide,
    gather,
    sweep,
    whole_views,
    windows_at,
)
from xr4dvar.tiling.tiles import whole_axis


def run_eager(
    fields: Sequence[AnyArray],
    plan: Plan,
    solve: Solve,
    *,
    n_out: int = 1,
    batch_size: int = 1,
    dtype: npt.DTypeLike = "float32",
    progress: Callable[[int], object] | None = None,
) -> AnyArray:
    """Solve every patch once and blend the results.

    The value of a cell is the weighted mean of the patches that cover it, with the separable
    weights of `Windows`. What is kept in memory is the inputs, the output and one batch.

    NaN (and infinity) that `solve` returns stays where it is: a cell is NaN if at least one of
    the patches that cover it has NaN there, and no other cell is touched. Land that the solver
    leaves NaN in every patch is NaN in the result, and a patch that failed shows.

    Parameters
    ----------
    fields : sequence of array
        Inputs that broadcast to ``plan.shape``; memory-mapped arrays are read patch by patch.
        A field that is constant along some axes has size 1 (or no axis) there and is not expanded.
    plan : Plan
        The patches.
    solve : callable
        ``solve(patches, origins)``. patches: one array (n, *patch_shape) a field, in the field's
        dtype, with its NaN, n <= `batch_size`; they are copies that `solve` may keep or overwrite.
        origins: ints (n, ndim), the first cell of each patch.
        Returns floats (n, n_out, *patch_shape).
    n_out : int, default: 1
        Number of output fields.
    batch_size : int, default: 1
        Most patches handed to `solve` at once.
    dtype : dtype, default: float32
        Of the sums and the result.
    progress : callable, optional
        Called with the number of patches just solved, e.g. ``tqdm(...).update``.

    Returns
    -------
    array, shape (n_out, *plan.shape)

    Raises
    ------
    InputError
        If a field does not broadcast to the plan's shape or `solve` returns another shape.

    Examples
    --------
    >>> from xr4dvar.tiling import make_plan, run_eager
    >>> plan = make_plan((5, 5), (3, 3), (2, 2))
    >>> x = np.arange(25.0).reshape(5, 5)
    >>> def double(patches, origins):
    ...     return 2 * patches[0][:, np.newaxis]
    >>> bool(np.allclose(run_eager([x], plan, double)[0], 2 * x))
    True
    """
    settings = Settings(plan, n_out, batch_size, np.dtype(dtype))
    check_shapes([field.shape for field in fields], plan.shape)
    # one tile that is the whole domain, with views of the arrays as its blocks
    axes = [whole_axis(windows) for windows in plan.windows]
    inputs = [whole_views(np.broadcast_to(field, plan.shape), axes) for field in fields]
    total: AnyArray = np.zeros((n_out, *plan.shape), settings.dtype)
    sweep(axes, inputs, whole_views(total, axes), solve, settings, progress)
    divide(total, [windows.weight_sum for windows in plan.windows])
    return total


def check_shapes(shapes: Sequence[tuple[int, ...]], expected: tuple[int, ...]) -> None:
    """Raise `InputError` with every field whose shape does not broadcast to the expected one."""
    problems = Problems()
    for number, shape in enumerate(shapes):
        missing = len(expected) - len(shape)
        if missing < 0 or any(
            own not in (1, size) for own, size in zip(shape, expected[missing:], strict=True)
        ):
            problems.add(
                f"field {number} of shape {shape} does not broadcast to {expected}",
                "plan the patches for the shape of the fields",
            )
    problems.raise_if_any()


def extract(field: AnyArray, plan: Plan, origins: npt.NDArray[np.intp] | None = None) -> AnyArray:
    """Copy patches out of an array.

    Parameters
    ----------
    field : array
        That broadcasts to ``plan.shape``.
    plan : Plan
        Gives the shape of a patch and the periodic axes.
    origins : array of int, shape (n, ndim), optional
        First cells of the patches, anywhere in the array (random places, in training).
        Default: those of the plan.

    Returns
    -------
    array, shape (n, *patch_shape)

    Raises
    ------
    InputError
        If a patch would leave the array along an axis that is not periodic.

    Examples
    --------
    >>> from xr4dvar.tiling import extract, make_plan
    >>> extract(np.arange(5), make_plan((5,), (3,), (2,)))
    array([[0, 1, 2],
           [2, 3, 4]])
    """
    check_shapes([field.shape], plan.shape)
    places = plan.origins() if origins is None else np.asarray(origins, np.intp)
    last = [w.size - 1 if w.periodic else w.size - w.patch for w in plan.windows]
    if places.ndim != 2 or places.shape[1] != plan.ndim or np.any((places < 0) | (places > last)):
        what = f"origins must have shape (n, {plan.ndim}) and lie between 0 and {tuple(last)}"
        raise InputError([(what, "choose origins at which a patch fits")])
    axes = [whole_axis(windows) for windows in plan.windows]
    views = whole_views(np.broadcast_to(field, plan.shape), axes)
    return gather(views, windows_at([tuple(o) for o in places.tolist()], axes), plan.patch_shape)


def stitch(patches: AnyArray, plan: Plan) -> AnyArray:
    """Blend the patches of a plan into one array: the inverse of `extract`.

    Parameters
    ----------
    patches : array of float, shape (n_patches, *patch_shape)
        In the order of ``plan.origins()``.
    plan : Plan
        The patches' places.

    Returns
    -------
    array, shape plan.shape
        The weighted mean of the patches that cover each cell; NaN as in `run_eager`.

    Examples
    --------
    >>> from xr4dvar.tiling import extract, make_plan, stitch
    >>> x, plan = np.random.default_rng(0).normal(size=(7, 9)), make_plan((7, 9), (4, 3), (3, 2))
    >>> bool(np.allclose(stitch(extract(x, plan), plan), x))
    True
    """
    expected = (plan.n_patches, *plan.patch_shape)
    if patches.shape != expected:
        what = f"patches have shape {patches.shape}, the plan's have {expected}"
        raise InputError([(what, "stitch with the plan that the patches were extracted with")])
    rest = iter(patches)

    def in_order(_: list[AnyArray], origins: npt.NDArray[np.intp]) -> AnyArray:
        patch: AnyArray = next(rest)[np.newaxis, np.newaxis]
        return patch

    blended: AnyArray = run_eager([], plan, in_order, dtype=patches.dtype)[0]
    return blended
