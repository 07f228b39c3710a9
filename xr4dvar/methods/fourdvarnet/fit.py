"""Fitting 4DVarNet, and solving with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xr4dvar.contract.engine import Engine
from xr4dvar.contract.layouts import goes_round, layout_grid
from xr4dvar.contract.method import FitOptions, Parameters
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.states import components, spacing_of
from xr4dvar.contract.training_data import Block, TrainingData
from xr4dvar.dynamics import Scaled
from xr4dvar.dynamics.climate import free_run
from xr4dvar.dynamics.learned import learns
from xr4dvar.dynamics.model import flow_of, is_dynamics
from xr4dvar.errors import InputError
from xr4dvar.methods.fourdvarnet.network import Architecture, FourDVarNetwork
from xr4dvar.methods.fourdvarnet.objective import Objective
from xr4dvar.methods.fourdvarnet.units import Units
from xr4dvar.priors import DynamicsPrior
from xr4dvar.registry import to_config
from xr4dvar.training.device import choose_device, one_at_a_time
from xr4dvar.training.hiding import hide_nothing
from xr4dvar.training.identification import component_names, flow_from_target, identifiable
from xr4dvar.training.loop import train
from xr4dvar.training.losses import needs_target
from xr4dvar.training.sampler import PatchSampler, validation_patches
from xr4dvar.types import FloatArray, Role

log = logging.getLogger("xr4dvar")

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvarnet.config import FourDVarNet

#: Windows that their statistics are taken from.
STATISTICS = 512
#: States of a free run, for the statistics of what is never seen.
CLIMATE = 2000
#: Times in a row that are channels of one place, of series.
FOLD = 8
#: Most cells of a block: it is in memory, and mapped by the background method, whole.
BLOCK_CELLS = 4_000_000
#: Blocks in memory of forecasts, each with its own first time; one is new at each step.
FORECASTS = 32
#: A block is this many patches long in time, so that its ends are rare but are learned too.
BLOCK_PATCHES = 5


def fit_fourdvarnet(
    method: FourDVarNet, data: TrainingData, options: FitOptions, background: Engine | None
) -> Parameters:
    """Train the network of `method` on `data`."""
    if not (data.supervised or needs_target(method.losses)):
        data = replace(data, hide=hide_nothing)  # the cost is of what is observed, all of it
    if data.states and not data.supervised:
        names = ", ".join(map(repr, data.states))
        what = f"without a target {names} cannot be learned from what is observed of it"
        raise InputError([(what, "give a target, or use OptimalInterpolation")])
    patch = method.patch_sizes(data.grid)
    block = _block_sizes(data, patch)
    kept, fresh = (FORECASTS, 1.0) if data.leads else _turnover(block, patch, method)
    sampler = PatchSampler(
        data,
        background,
        block,
        patch,
        method.training.batch_size,
        options.seed,
        kept=kept,
        fresh=fresh,
        redraw=method.redraw and data.supervised,
        minimum_observed=method.training.minimum_observed,
    )
    architecture, units = _design(method, data, sampler, patch, options.seed)
    network = _make_network(architecture, method, units, options.seed)
    _start_prior(network, method.prior, data, options.seed)
    observed = data.binder is not None and not data.supervised
    objective = Objective(units, method.losses, method.mirror, observed)
    stride = {role: max(1, size // 2) for role, size in patch.items()}
    if data.leads:
        stride["time"] = 1
    held_out = validation_patches(data, background, patch, stride, options.seed, block)
    weights, history = train(
        network,
        objective.loss,
        lambda step, rank: replace(
            sampler.sample(step, rank), progress=step / method.training.steps
        ),
        lambda net: objective.score(net, held_out),
        method.training,
        options,
        _identity(method, data, options, units),
    )
    if (score := objective.background_score(held_out)) is not None:
        history.attrs["background_loss"] = score
    settings = {"architecture": asdict(architecture), "units": units.settings, "patch": patch}
    if learns(method.prior):
        settings["components"] = component_names(data)
    return Parameters(settings, weights, history)


def _design(
    method: FourDVarNet,
    data: TrainingData,
    sampler: PatchSampler,
    patch: Mapping[Role, int],
    seed: int,
) -> tuple[Architecture, Units]:
    """Sizes and units of the network, from what the data are and say."""
    grid, blocks = layout_grid(data.grid), _first_blocks(sampler)
    maps = grid == "y-x"
    states = None if data.supervised else _climate(method, data, seed)
    if not maps and not data.supervised and states is None:
        _warn_of_blind_cells(blocks)
    units = Units.estimate(blocks, data)
    if grid == "time":
        units = Units.of_components(blocks, data, states)
    elif data.leads:
        units = units.by_lead(blocks)
    units = units.of_fields(blocks, data).with_covariates(data.covariates)
    coarsen, fold = method.coarsen, 1
    if not maps:
        coarsen, fold = 1, method.coarsen if isinstance(method.coarsen, int) else FOLD
    elif coarsen == "auto":
        circle = data.grid["x"].size if goes_round(data.grid, patch) else 0
        coarsen = units.choose_coarsening(blocks, circle)
    widths = method.widths or ((64, 96, 128) if maps else (192,))
    return Architecture(
        variables=len(data.state_names),
        times=patch.get("time", 1),
        context=units.known_context + (0 if sampler.background is None else len(data.state_names)),
        solver=method.solver if method.solver_part is None else type(method.solver).__name__,
        iterations=method.steps,
        widths=list(widths),
        prior_width=method.prior_width,
        coarsen=int(coarsen),
        depth=method.depth or (1 if maps else 4),
        y=patch.get("y", 1),
        x=patch.get("x", 1),
        grid=grid,
        fold=fold,
        wraps=goes_round(data.grid, patch),
        spacing=spacing_of(data.grid, method.prior) if is_dynamics(method.prior) else 1.0,
        shared=method.shared,
        backpropagation=method.backpropagation,
        error_variance=units.scaled_variance(method.error_variance, observed=True),
        model_error_variance=units.scaled_variance(method.model_error_variance),
        fields=len(data.names) if data.states else None,
    ), units


def _climate(method: FourDVarNet, data: TrainingData, seed: int) -> FloatArray | None:
    """States (n, V, 1, Y, X) of a free run of the model that is the prior, if one is."""
    if not is_dynamics(method.prior) or learns(method.prior):
        return None
    step = flow_of(method.prior, spacing_of(data.grid, method.prior))
    states = free_run(step, components(data.grid, data.names), CLIMATE, seed)
    y, x = (data.grid[role].size if role in data.grid.roles else 1 for role in ("y", "x"))
    return states.reshape(-1, len(data.names), 1, y, x)


def _first_blocks(sampler: PatchSampler) -> list[Block]:
    """Blocks for statistics: those in memory; of windows, which are small, some more."""
    steps = range(0, max(1, STATISTICS // sampler.kept) if sampler.fresh >= 1 else 1)
    return [block for step in steps for block in sampler.blocks(step)]


def _warn_of_blind_cells(blocks: list[Block]) -> None:
    """Say that a network learns nothing of what no window ever shows."""
    seen = np.any([np.isfinite(block.y) | np.isfinite(block.target) for block in blocks], 0)
    if not seen.all():
        log.warning(
            "at %d of the %d cells of a window there is never an observation: without a target "
            "the network does not learn what to give there",
            int((~seen).sum()), seen.size,
        )  # fmt: skip


def _turnover(
    block: Mapping[Role, int], patch: Mapping[Role, int], method: FourDVarNet
) -> tuple[int, float]:
    """Blocks in memory, and how many of them are new at each step."""
    if dict(block) == dict(patch) and method.background is None:  # no more than a patch to read
        return method.training.batch_size, method.training.batch_size
    return 8, 1 / 25


def _identity(
    method: FourDVarNet, data: TrainingData, options: FitOptions, units: Units
) -> dict[str, Any]:
    """What makes a fit this one: a checkpoint of any other is not gone on from."""
    # a few digits tell other data apart, and do not tell sums of another order
    known = {f"covariate {name}": values for name, values in units.known.items()}
    statistics = {
        name: [f"{value:.4g}" for value in np.ravel(values)]
        for name, values in ({**units.settings, **known}).items()
        if name != "covariates"
    }
    return {
        "method": to_config(method),
        "seed": options.seed,
        "names": list(data.names),
        "shape": data.shape,
        "train": data.train,
        "validation": data.validation,
        "supervised": data.supervised,
        "statistics": statistics,
    }


class NetworkEngine:
    """A trained 4DVarNet."""

    def __init__(self, method: FourDVarNet, parameters: Parameters, device: str):
        settings = parameters.settings
        network = FourDVarNetwork(
            Architecture(**settings["architecture"]), method.prior, method.solver_part
        )
        state = {name: torch.as_tensor(array) for name, array in parameters.arrays.items()}
        network.load_state_dict(state)
        self.place = choose_device(device)
        self.network = network.to(self.place).eval().requires_grad_(False)
        self.units = Units(**settings["units"])

    def maps(self, patches: Patches) -> FloatArray:
        """Map patches."""
        with one_at_a_time(self.place):
            batch = self.units.batch(patches, self.place)
            increment, _ = self.network(batch.y, batch.weight, batch.context, batch.operator)
            return self.units.analysis(increment, patches)


def _make_network(
    architecture: Architecture, method: FourDVarNet, units: Units, seed: int
) -> FourDVarNetwork:
    # fork: the user's own random numbers stay as they were
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = FourDVarNetwork(architecture, method.prior, method.solver_part)
    if isinstance(network.prior, DynamicsPrior):  # whose model is in the data's own units
        network.prior.mean.copy_(torch.from_numpy(units.mean))
        network.prior.spread.copy_(torch.from_numpy(units.error))
        for part in network.prior.modules():
            if isinstance(part, Scaled):
                part.scale(network.prior.mean.flatten(), network.prior.spread.flatten())
    return network


def _start_prior(network: FourDVarNetwork, prior: object, data: TrainingData, seed: int) -> None:
    """Begin a model that is learned with that of the target."""
    model = network.prior
    if not (data.supervised and is_dynamics(prior) and learns(prior)):
        return
    if isinstance(model, DynamicsPrior) and identifiable(model.step):
        found = flow_from_target(prior, data, seed).state_dict()
        model.load_state_dict({f"step.{k}": v for k, v in found.items()}, strict=False)


def _block_sizes(data: TrainingData, patch: Mapping[Role, int]) -> dict[Role, int]:
    """Blocks that hold several patches in time and as much of y and x as fits."""
    whole = data.sizes(data.train)
    sizes = {role: min(size, patch[role]) for role, size in whole.items()}
    if "time" in whole and not data.leads:  # of what is ahead of a forecast nothing may be seen
        sizes["time"] = min(whole["time"], BLOCK_PATCHES * patch["time"])
    for role in ("y", "x"):
        if role in whole:
            others = int(np.prod([size for r, size in sizes.items() if r != role]))
            sizes[role] = max(sizes[role], min(whole[role], BLOCK_CELLS // max(1, others)))
    return sizes
