"""Networks that learn to assimilate the models of Lorenz, and what each is trained with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import xarray as xr

import xr4dvar as xv

#: Learning rate and the like, which all have in common.
TRAINING = xv.Training(
    batch_size=32, learning_rate=2e-3, steps_per_epoch=250, averaging=0.998, patience=1000
)


@dataclass(frozen=True)
class Learner:
    """A method and its training.

    Parameters
    ----------
    name : str
    method : Method
    windows, steps : int
        To learn from, and of training.
    changes : mapping
        Of the problem.
    targets : bool
        Whether the truth of the training windows is shown.
    controls : sequence of str
        What `Variational` may look for with what has been learned; a row each.
    """

    name: str
    method: xv.FourDVarNet | xv.DataAssimilationNetwork | xv.Variational
    windows: int = 20_000
    steps: int = 5_000
    changes: Mapping[str, float] = field(default_factory=dict)
    targets: bool = True
    controls: Sequence[str] = ()

    def fit(self, data: xr.Dataset, steps: int, **settings: object) -> dict[str, xv.Model]:
        """Learn, and say how long that took; the models of all rows."""
        data = data.astype("float32")
        method = shortened(self.method, steps)
        target = data.truth if self.targets else None
        started, busy = time.perf_counter(), time.process_time()
        model = data.obs.fourdvar.fit(method, target, validation=0.05, **settings)
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        print(
            f"({self.name}: {steps} steps, {data.sizes['window']} windows, "
            f"trained for {seconds:.0f} s, {busy:.0f} s of processor time)",
            flush=True,
        )
        if not self.controls:
            return {self.name: model}
        return {
            f"{self.name}, {control}": replace(model, method=replace(method, control=control))
            for control in self.controls
        }


def shortened(method: object, steps: int) -> object:
    """The method with so many training steps."""
    if isinstance(method, xv.Variational):
        if method.training is None:
            return method
        return replace(method, prior=shortened(method.prior, steps))
    return replace(method, training=replace(method.training, steps=steps))


def network(**options: object) -> xv.FourDVarNet:
    """A 4DVarNet for series."""
    return xv.FourDVarNet(**{"background": None, "widths": (256,), "training": TRAINING, **options})


def direct(**options: object) -> xv.FourDVarNet:
    """A network from observations to states: no prior, one step."""
    return network(prior=None, steps=1, **options)


LORENZ63_X = (
    Learner("4DVarNet, learned prior", network(), windows=40_000, steps=8_000),
    Learner("4DVarNet, Lorenz-63 as prior", network(prior=xv.Lorenz63())),
    Learner("direct network, U-Net", direct(depth=8)),
    Learner("direct network, LSTM both ways", direct(solver="recurrent", widths=(128,), depth=2)),
    *(
        Learner(
            f"DAN, {estimate}",
            xv.DataAssimilationNetwork(estimate, width=128, training=TRAINING),
            steps=3_000,
        )
        for estimate in ("filtered", "smoothed")
    ),
    Learner(
        "fixed point (noise-free observations)",  # perfect observations are put in as they are
        network(
            prior="unet",
            prior_width=128,
            solver="fixed_point",
            steps=3,
            error_variance=1e-4,
            loss={"regularisation": 0.0},
        ),
        steps=2_000,
        changes={"noise_variance": 0.0},
    ),
    Learner(
        "4DVarNet, no truth",  # learns to minimise the cost of 4DVar
        network(
            prior=xv.Lorenz63(),
            steps=1,
            widths=(96,),
            error_variance=2.0,
            model_error_variance=0.01,
            loss={"variational": 1.0, "supervised": 0.0, "regularisation": 0.0},
        ),
        steps=10_000,
        targets=False,
    ),
)

LORENZ63_ALL = (
    Learner(
        "10 EOFs",
        xv.Variational(xv.EOFs(10), 2.0, control="latent"),
        controls=("state", "latent"),
    ),
    Learner(
        "auto-encoder of 5 numbers",
        xv.Variational(
            xv.AutoEncoder(code=5, training=replace(TRAINING, batch_size=64, learning_rate=3e-3)),
            2.0,
            control="latent",
        ),
        steps=3_000,
        controls=("state", "latent"),
    ),
    Learner(
        "two-scale prior",
        xv.Variational(
            xv.GibbsField(training=replace(TRAINING, batch_size=64, learning_rate=3e-3)), 2.0
        ),
        steps=3_000,
    ),
    Learner(
        "denoiser, plugged in",
        xv.Variational(
            xv.Denoiser(training=replace(TRAINING, batch_size=64, learning_rate=3e-3)), 2.0
        ),
        steps=3_000,
    ),
)

#: On a ring, of 40 sites.
SMALLER = {"widths": (48,), "coarsen": 4, "training": replace(TRAINING, batch_size=8)}
LORENZ96 = (
    Learner("4DVarNet, learned prior", network(**SMALLER), windows=2_000, steps=3_000),
    Learner(
        "4DVarNet, Lorenz-96 as prior",
        network(prior=xv.Lorenz96(), **SMALLER),
        windows=2_000,
        steps=3_000,
    ),
)
