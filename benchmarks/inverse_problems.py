"""Inverse problems of the twin: what is blurred, averaged, seen along tracks, or still to come.

Run from the repository root::

    OMP_NUM_THREADS=1 python benchmarks/inverse_problems.py --data ../shared/data/twin_gulfstream
        [--enatl60 ../shared/data/enatl60_swot_med/eNATL60-BLB002_y2009m08d15.1d_SSH-med.nc]
        [--problems blur30 blur60 ...] [--steps 0] [--models FOLDER] [--output TABLE.json]

- ``blur30``, ``blur60``: daily maps of sea surface height behind a Gaussian of 30 or 60 km, with
  1 cm of noise; ``blur30gaps``, ``blur60gaps`` with 30 % of each day under clouds.
- ``ssh4``, ``ssh8``, ``sst4``, ``sst8``: means over blocks of 4 x 4 or 8 x 8 cells, with 0.5 cm or
  0.1 K of noise; ``ssh8guide``: with the temperature at each cell to look at.
- ``enatl60``: a day of the western Mediterranean at 1/60 degree, means over blocks of 6 x 6 cells
  of which at least half are sea, without noise; scored on the sea of these blocks.
- ``fusion-none``, ``fusion-cloudy``, ``fusion-full``, ``fusion-control``: heights along four
  altimeters, and the temperature under clouds, everywhere, or of another year.
- ``currents-nadir4``, ``currents-swot``: currents in cm/s, of heights along four altimeters (and
  SWOT), alone or with 50 drifters a day.
- ``forecast-complete``, ``forecast-observed``: the next 7 days, from maps or from altimeters.

Of the twin are given 2012-10-01 .. 12-20 (fusion and forecasts: 12-02), scored 2012-10-22 .. 12-02
on the inner 80 x 80 cells; learned from the truth of 2013-02-01 .. 2014-07-31, validated on
2014-08-20 .. 10-02. Methods: the field as it is given, or damped persistence;
`OptimalInterpolation` with the operator; and with ``--steps`` a 4DVarNet. Anchors are those of a
linear filter with the spectrum of the training truth in space and time; of ``enatl60`` bicubic with
the block means kept; of fusion the tuned interpolation of heights; of currents that of heights, and
that of heights and drifters.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import inverse_coast
import inverse_currents
import inverse_degraded
import inverse_forecast
import inverse_fusion

PROBLEMS: dict[str, Any] = {
    **dict.fromkeys(inverse_degraded.ANCHORS, inverse_degraded),
    "enatl60": inverse_coast,
    **dict.fromkeys(inverse_fusion.PROBLEMS, inverse_fusion),
    **dict.fromkeys(inverse_currents.PROBLEMS, inverse_currents),
    **dict.fromkeys(inverse_forecast.PROBLEMS, inverse_forecast),
}
NUMBERS = ("rmse", "ratio", "gradient", "lambda_x")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--enatl60", help="file of the western Mediterranean")
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--steps", type=int, default=0, help="of the network; 0: none")
    parser.add_argument("--coarsen", type=int, help="of the network; default: its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", help="folder to keep models in, and to take them from")
    parser.add_argument("--output", help="JSON file for the table")
    parser.add_argument("--progress", action="store_true")
    options = parser.parse_args()
    columns = "problem, method, RMSE, over the anchor, gradient, lambda_x (deg), fit (s), maps (s)"
    print("|", " | ".join(columns.split(", ")), "|")
    print("|", " --- |" * 8)
    found = []
    for name in options.problems:
        for row in PROBLEMS[name].rows(name, options):
            found.append(row)
            print(as_text(row), flush=True)
    if options.output:
        Path(options.output).write_text(json.dumps(found, indent=1))


def as_text(row: dict) -> str:
    """A row of the table; of forecasts, with an error for each lead."""
    numbers = " | ".join(f"{row[key]:.4g}" if key in row else "" for key in NUMBERS)
    if "by_lead" in row:
        by_lead = (f"{lead}: {value:.4g}" for lead, value in row["by_lead"].items())
        numbers = f"{', '.join(by_lead)} | | |"
    if "height" in row:
        numbers = f"{row['rmse']:.4g} ({row['height']:.3g} cm)" + f" {numbers.partition(' ')[2]}"
    seconds = f"{row['fit_s']:.0f} | {row['maps_s']:.1f}"
    return f"| {row['problem']} | {row['method']} | {numbers} | {seconds} |"


if __name__ == "__main__":
    main()
