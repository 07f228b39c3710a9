"""What is learned of a model, from states that were seen in part and with noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from xr4dvar.dynamics.integrators import Flow, trajectory
from xr4dvar.dynamics.linear import linearise

__all__ = ["Segments", "horizon", "identify", "learned_parameters"]

#: Factors of the damping after a good step, and after one that was refused.
EASE, TIGHTEN = 0.2, 5.0
#: Damping from which no step is small enough.
MOST = 1e10
#: Least damping, and least curvature as a share of the largest: what nothing depends on stays.
LEAST, TINY = 1e-12, 1e-300
#: Growth of a small difference that ends a trajectory.
GROWTH = 10.0
#: Numbers of the sensitivities that are held at once: some hundreds of megabytes.
NUMBERS_AT_ONCE = 20_000_000


@dataclass(frozen=True)
class Segments:
    """Short pieces of trajectories, seen in part and with noise.

    Parameters
    ----------
    y : Tensor, shape (S, T, n)
        What was seen of S pieces; any number where nothing was.
    weight : Tensor, shape (S, T, n)
        One over the variance of its errors; 0 where nothing was seen.
    first : Tensor, shape (S, n)
        First guess of the first states.
    mean : Tensor, shape (n,)
        What is known of a first state beforehand.
    precision : Tensor, shape (n, n)
        One over the covariance of the error of that.
    """

    y: Tensor
    weight: Tensor
    first: Tensor
    mean: Tensor
    precision: Tensor

    def take(self, part: slice) -> Segments:
        """Only some of the pieces."""
        return Segments(
            self.y[part], self.weight[part], self.first[part], self.mean, self.precision
        )


def learned_parameters(flow: Flow) -> dict[str, Tensor]:
    """Parameters that training may change, by name."""
    return {name: p for name, p in flow.named_parameters() if p.requires_grad}


def identify(
    flow: Flow, segments: Segments, steps: int = 30, tolerance: float = 1e-5
) -> tuple[Tensor, float]:
    r"""Find the parameters with which the model's trajectories fit what was seen.

    .. math:: U(\theta, x) = \tfrac12\sum_{s,t} |y_{s,t} - M_\theta^t(x_s)|^2_R
              + \tfrac12\sum_s |x_s - b|^2_B

    The first states are found along with the parameters, for noise in them would be taken for
    dynamics (errors in variables). By Gauss-Newton with the damping of Levenberg and Marquardt;
    the first states, of which each piece has its own, are eliminated from the equations.

    Parameters
    ----------
    flow : Flow
        Its learned parameters are changed in place.
    segments : Segments
    steps : int
        Most steps.
    tolerance : float
        Relative gain of a step that is the last one.

    Returns
    -------
    first : Tensor, shape (S, n)
        The first states.
    cost : float

    References
    ----------
    Bock 1981, https://doi.org/10.1007/978-3-642-68220-9_8;
    Golub and Pereyra 2003, https://doi.org/10.1088/0266-5611/19/2/201

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import Flow, QuadraticTendency, trajectory
    >>> from xr4dvar.dynamics.identification import Segments, identify
    >>> start = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    >>> y = trajectory(Flow(lambda x: x - x**2, 0.1), start, 10)
    >>> flow = Flow(QuadraticTendency(1), 0.1)
    >>> known = torch.zeros(1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    >>> _ = identify(flow, Segments(y, torch.ones_like(y), start, *known))
    >>> coefficients = flow.tendency.linear, flow.tendency.quadratic
    >>> [round(c.item(), 4) for c in coefficients]
    [1.0, -1.0]
    """
    names = learned_parameters(flow)
    theta, first = _flat(names), segments.first
    damping, cost = 1e-3, _cost(flow, theta, segments, first)
    equations = None
    for _ in range(steps if math.isfinite(cost) else 0):
        equations = equations or _equations(flow, theta, segments, first)
        change, move = equations.solve(damping)
        trial = theta - change, first - move
        found = _cost(flow, trial[0], segments, trial[1])
        better = found < cost  # False of what is not finite
        damping *= EASE if better else TIGHTEN
        if better:
            settled = cost - found <= tolerance * cost
            (theta, first), cost, equations = trial, found, None
            if settled:
                break
        elif damping > MOST:
            break
    _put(names, theta)
    return first, cost


@dataclass(frozen=True)
class _Equations:
    """Curvature and gradient by p parameters and by the first states of S pieces."""

    matrix: Tensor  # (p, p)
    gradient: Tensor  # (p,)
    mixed: Tensor  # (S, n, p)
    own: Tensor  # (S, n, n)
    pull: Tensor  # (S, n)

    def solve(self, damping: float) -> tuple[Tensor, Tensor]:
        """Changes of the parameters (p,) and of the first states (S, n), damped."""
        own = self.own + torch.diag_embed(_damped(self.own, damping))
        solved = torch.linalg.solve(own, torch.cat([self.mixed, self.pull[..., None]], 2))
        ratio, alone = solved[..., :-1], solved[..., -1]
        matrix = self.matrix + torch.diag(_damped(self.matrix, damping))
        matrix = matrix - torch.einsum("sip,siq->pq", self.mixed, ratio)
        gradient = self.gradient - torch.einsum("sip,si->p", self.mixed, alone)
        change = torch.linalg.solve(matrix, gradient)
        return change, alone - ratio @ change


def _damped(matrix: Tensor, damping: float) -> Tensor:
    """What damping adds to the diagonal (..., n); never nothing, so that it can be solved."""
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    return (damping + LEAST) * diagonal + LEAST * damping * diagonal.amax() + TINY


def _equations(flow: Flow, theta: Tensor, segments: Segments, first: Tensor) -> _Equations:
    p, times, n = len(theta), segments.y.shape[1], first.shape[1]
    own, mixed, pull = [], [], []
    matrix, gradient = theta.new_zeros(p, p), theta.new_zeros(p)
    size = max(1, NUMBERS_AT_ONCE // (times * n * p))
    for start in range(0, len(first), size):
        some = slice(start, start + size)
        part = segments.take(some)
        states, by_first, by_theta = _sensitivities(flow, theta, first[some], times)
        weighted = part.weight * (states - part.y)
        scaled = part.weight[..., None] * by_theta
        rows = (0, 1, 2)
        matrix += torch.tensordot(scaled, by_theta, (rows, rows))
        gradient += torch.tensordot(by_theta, weighted, (rows, rows))
        own.append(torch.einsum("stni,stn,stnj->sij", by_first, part.weight, by_first))
        mixed.append(torch.einsum("stni,stnp->sip", by_first, scaled))
        pull.append(torch.einsum("stni,stn->si", by_first, weighted))
    known = (first - segments.mean) @ segments.precision
    return _Equations(
        matrix, gradient, torch.cat(mixed), torch.cat(own) + segments.precision,
        torch.cat(pull) + known,
    )  # fmt: skip


def _sensitivities(
    flow: Flow, theta: Tensor, first: Tensor, times: int
) -> tuple[Tensor, Tensor, Tensor]:
    """States (S, T, n), and their derivatives by the first one and by the parameters."""
    _put(learned_parameters(flow), theta)
    with torch.no_grad():
        states = trajectory(flow, first, times)
    before = states[:, :-1]
    tangent, _ = linearise(flow, before)
    own = _by_parameters(flow, theta, before)
    n = first.shape[1]
    by_first = [torch.eye(n, dtype=first.dtype, device=first.device).expand(len(first), n, n)]
    by_theta = [own.new_zeros(len(first), n, len(theta))]
    for t in range(times - 1):
        by_first.append(tangent[:, t] @ by_first[-1])
        by_theta.append(tangent[:, t] @ by_theta[-1] + own[:, t])
    return states, torch.stack(by_first, 1), torch.stack(by_theta, 1)


def _by_parameters(flow: Flow, theta: Tensor, states: Tensor) -> Tensor:
    """Derivative of a step from states (S, T, n) by the parameters, (S, T, n, p)."""

    def of_one(state: Tensor) -> Tensor:
        found: Tensor = jacrev(lambda values: _model(flow, values)(state))(theta)
        return found

    found: Tensor = vmap(of_one)(states.flatten(0, 1)).unflatten(0, states.shape[:2])
    return found


def _cost(flow: Flow, theta: Tensor, segments: Segments, first: Tensor) -> float:
    _put(learned_parameters(flow), theta)
    with torch.no_grad():
        misfit = trajectory(flow, first, segments.y.shape[1]) - segments.y
        anomaly = first - segments.mean
        known = (anomaly @ segments.precision) * anomaly
        return 0.5 * float((segments.weight * misfit**2).sum() + known.sum())


def _model(flow: Flow, theta: Tensor) -> Callable[[Tensor], Tensor]:
    """The flow with other values of its learned parameters."""
    names = learned_parameters(flow)
    parts = theta.split([p.numel() for p in names.values()])
    values = {k: part.view_as(p) for (k, p), part in zip(names.items(), parts, strict=True)}
    return lambda x: functional_call(flow, values, (x,))


def _flat(names: dict[str, Tensor]) -> Tensor:
    return torch.cat([p.detach().flatten() for p in names.values()])


def _put(names: dict[str, Tensor], theta: Tensor) -> None:
    with torch.no_grad():
        for p, part in zip(
            names.values(), theta.split([p.numel() for p in names.values()]), strict=True
        ):
            p.copy_(part.view_as(p))


def horizon(flow: Flow, states: Tensor) -> int:
    """Steps in which a small difference of states (W, T, n) grows tenfold, T - 1 at most.

    Longer trajectories are so sensitive that a cost of theirs has many minima.
    """
    tangent, _ = linearise(flow, states[:, :-1])
    n = states.shape[-1]
    product = torch.eye(n, dtype=states.dtype, device=states.device).expand(len(states), n, n)
    for t in range(tangent.shape[1]):
        product = tangent[:, t] @ product
        # nine of ten trajectories: rare ones must not set the length
        if float(torch.linalg.matrix_norm(product).quantile(0.9)) > GROWTH * n**0.5:
            return t + 1
    return tangent.shape[1]
