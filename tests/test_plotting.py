"""What the pictures show: which panels, which values, shared limits, labels. Not how it looks."""

from __future__ import annotations

import datetime
import sys
import textwrap
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr

from xr4dvar.errors import InputError
from xr4dvar.plots.panels import plot_panels
from xr4dvar.plots.spectrum import plot_spectral_score
from xr4dvar.plots.training import plot_training
from xr4dvar.verbs.score import score

mpl = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.fixture
def truth() -> xr.DataArray:
    rng = np.random.default_rng(0)
    return xr.DataArray(
        rng.normal(size=(12, 8, 10)).cumsum(0),
        dims=("time", "lat", "lon"),
        coords={
            "time": xr.date_range("2012-10-22", periods=12),
            "lat": ("lat", 40 + 0.5 * np.arange(8), {"units": "degrees_north"}),
            "lon": ("lon", np.arange(10.0), {"units": "degrees_east", "long_name": "longitude"}),
        },
        attrs={"units": "m", "long_name": "sea surface height"},
    )


@pytest.fixture
def maps(truth: xr.DataArray) -> xr.DataArray:
    noise = np.random.default_rng(1).normal(size=truth.shape)
    return (truth + 0.3 * noise).assign_attrs(truth.attrs)


def mesh(panel: Any) -> Any:
    """The coloured cells of a panel."""
    return next(c for c in reversed(panel.collections) if "Mesh" in type(c).__name__)


def test_panels_show_fields_and_errors_of_the_day(maps: xr.DataArray, truth: xr.DataArray) -> None:
    observations = truth.where(truth > 0)
    methods = {"OI": (0.5 * truth).assign_attrs(units="m"), "4DVarNet": maps}
    figure = plot_panels(
        observations=observations, reconstruction=methods, truth=truth, time="2012-10-24"
    )
    panels = {(i // 3, i % 3): panel for i, panel in enumerate(figure.axes[:6])}
    titles = [panel.get_title() for panel in panels.values()]
    assert titles[:4] == ["observations", "OI", "4DVarNet", "truth"]
    assert all(title.startswith("error (RMSE ") for title in titles[4:])
    assert figure.get_suptitle() == "2012-10-24"
    day = {"time": 2}
    shown = {
        (0, 0): observations,
        (0, 1): methods["OI"],
        (0, 2): maps,
        (1, 0): truth,
        (1, 1): methods["OI"] - truth,
        (1, 2): maps - truth,
    }
    for place, field in shown.items():
        drawn = np.ma.filled(mesh(panels[place]).get_array().astype(float), np.nan)
        if place == (0, 0):  # the land is drawn over the observations
            drawn = np.ma.filled(panels[place].collections[0].get_array(), np.nan)
        np.testing.assert_allclose(drawn.reshape(8, 10), field.isel(day).values)
    error = np.sqrt(((maps - truth).isel(day) ** 2).mean().item())
    assert titles[5] == f"error (RMSE {error:#.3g} m)"


def test_limits_are_shared_and_symmetric(maps: xr.DataArray, truth: xr.DataArray) -> None:
    figure = plot_panels(reconstruction={"a": maps, "b": 2 * truth}, truth=truth)
    top, bottom = figure.axes[:3], figure.axes[4:6]
    fields = {mesh(panel).get_clim() for panel in top}
    errors = {mesh(panel).get_clim() for panel in bottom}
    assert len(fields) == len(errors) == 1
    for low, high in fields | errors:
        assert low == -high
    assert not figure.axes[3].axison  # nothing below the truth
    day = truth.isel(time=6)
    bound = np.percentile(np.abs([(maps.isel(time=6) - day).values, day.values]), 98)
    assert errors.pop()[1] == pytest.approx(bound)


def test_positive_fields_are_not_diverging(truth: xr.DataArray) -> None:
    warm = (truth + 20).assign_attrs(units="degree_Celsius", long_name="temperature")
    figure = plot_panels(reconstruction=warm, truth=warm)
    low, high = mesh(figure.axes[0]).get_clim()
    assert 0 < low < high
    assert mesh(figure.axes[0]).get_cmap().name == "viridis"
    assert mesh(figure.axes[3]).get_clim() == (-1.0, 1.0)  # no error at all
    assert "temperature (°C)" in [panel.get_ylabel() for panel in figure.axes]


def test_labels_have_units(maps: xr.DataArray, truth: xr.DataArray) -> None:
    figure = plot_panels(reconstruction=maps, truth=truth)
    labels = {panel.get_xlabel() for panel in figure.axes}
    labels |= {panel.get_ylabel() for panel in figure.axes}
    assert labels == {
        "",
        "longitude (°E)",
        "lat (°N)",
        "sea surface height (m)",
        "error (m)",
    }


def test_aspect_follows_latitude(truth: xr.DataArray) -> None:
    (panel, _) = plot_panels(truth=truth).axes
    assert panel.get_aspect() == pytest.approx(1 / np.cos(np.deg2rad(truth.lat.mean().item())))


def test_any_order_of_dimensions(maps: xr.DataArray, truth: xr.DataArray) -> None:
    plain = plot_panels(reconstruction=maps, truth=truth)
    turned = plot_panels(
        reconstruction=maps.transpose("lon", "time", "lat"),
        truth=truth.transpose("lat", "lon", ...),
    )
    for one, other in zip(plain.axes[:4], turned.axes[:4], strict=True):
        if one.axison:
            np.testing.assert_array_equal(mesh(one).get_array(), mesh(other).get_array())


def test_tracks_are_drawn_larger_than_cells(truth: xr.DataArray) -> None:
    few = truth.where((truth.lon == truth.lat - 40) & (truth.lat < 43))
    panel = plot_panels(observations=few, truth=truth).axes[0]
    dots = next(c for c in panel.collections if c.get_array() is not None and c.get_offsets().size)
    values = few.isel(time=6).values
    np.testing.assert_allclose(dots.get_array(), values[np.isfinite(values)])
    side = np.sqrt(dots.get_sizes()[0]) / 72 * panel.figure.dpi
    panel.figure.draw_without_rendering()
    assert side > panel.bbox.width / truth.sizes["lon"]


def test_land_is_grey_and_gaps_are_white(maps: xr.DataArray, truth: xr.DataArray) -> None:
    sea = truth.lon < 7
    seen = truth.where(sea & (truth.lat < 42))
    figure = plot_panels(observations=seen, reconstruction=maps.where(sea))
    observed, filled = figure.axes[:2]
    assert filled.get_facecolor() == mpl.colors.to_rgba("0.85")
    assert observed.get_facecolor() == mpl.colors.to_rgba("white")
    land = observed.collections[-1]
    painted = ~np.ma.getmaskarray(land.get_array()).reshape(8, 10)
    np.testing.assert_array_equal(painted, np.broadcast_to(~sea, (8, 10)))
    assert land.get_cmap()(0) == mpl.colors.to_rgba("0.85")


def test_lazy_curvilinear_and_timeless_fields(truth: xr.DataArray) -> None:
    pytest.importorskip("dask.array")
    flat = truth.isel(time=0, drop=True).drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
    lon, lat = np.meshgrid(np.arange(10.0), 40 + 0.5 * np.arange(8))
    grid = flat.assign_coords(lat=(("j", "i"), lat + 0.1 * lon), lon=(("j", "i"), lon))
    figure = plot_panels(truth=grid.chunk())
    drawn = mesh(figure.axes[0])
    np.testing.assert_allclose(drawn.get_array().reshape(8, 10), flat.values)
    assert figure.get_suptitle() == ""


def test_nothing_global_changes(maps: xr.DataArray, truth: xr.DataArray) -> None:
    before = dict(mpl.rcParams)
    plot_panels(reconstruction=maps, truth=truth)
    plot_spectral_score(maps, truth)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"reconstruction": None, "truth": None}, "nothing to draw"),
        ({"observations": "later"}, "observations has nothing at 2012-10-28"),
        ({"observations": "several"}, r"observations is a Dataset, of 'a', 'b'.*\['a'\]"),
        ({"reconstruction": "several"}, "reconstruction is a Dataset, of 'a', 'b'"),
        ({"truth": "several"}, "truth is a Dataset"),
        ({"reconstruction": "mixed"}, "OI is a Dataset, of 'a', 'b'"),
        ({"truth": "numbers"}, "truth is a ndarray, not a DataArray"),
        ({"time": "1992-11-20"}, "no 'time' of '1992-11-20'.*time='2012-10-22'"),
        ({"truth": "members"}, r"truth also has \['member'\].*isel\(member=0\)"),
        ({"truth": "shifted"}, "different labels along 'lon'"),
        ({"reconstruction": "named"}, "cannot be called"),
        ({"reconstruction": "series"}, "panels need two axes"),
    ],
)
def test_refusals(
    maps: xr.DataArray, truth: xr.DataArray, change: dict[str, Any], text: str
) -> None:
    made = {
        "later": truth.isel(time=slice(8, None)),
        "members": truth.expand_dims(member=2),
        "shifted": truth.assign_coords(lon=truth.lon + 1),
        "named": {"truth": maps},
        "series": truth.isel(lat=0, lon=0),
        "several": xr.Dataset({"a": truth, "b": truth}),
        "mixed": {"OI": xr.Dataset({"a": truth, "b": truth}), "4DVarNet": maps},
        "numbers": truth.values,
    }
    given = {"reconstruction": maps, "truth": truth}
    given |= {name: made.get(value, value) for name, value in change.items()}
    with pytest.raises(InputError, match=text):
        plot_panels(**given)


def six_hourly(**options: Any) -> xr.DataArray:
    time = xr.date_range("2012-10-22", periods=12, freq="6h", **options)
    values = np.arange(12.0)[:, None, None] + np.zeros((12, 3, 4))
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": time})


def drawn(field: xr.DataArray, time: Any) -> tuple[float, str]:
    figure = plot_panels(truth=field, time=time)
    return float(mesh(figure.axes[0]).get_array().ravel()[0]), figure.get_suptitle()


@pytest.mark.parametrize("options", [{}, {"use_cftime": True, "calendar": "noleap"}])
def test_the_time_that_is_asked_for_is_drawn(options: dict[str, Any]) -> None:
    field = six_hourly(**options)
    assert drawn(field, "2012-10-23") == (4.0, "2012-10-23")
    assert drawn(field, "2012-10-23T06")[0] == 5.0
    assert drawn(field, field.time[7])[0] == drawn(field, field.time.values[7])[0] == 7.0
    assert drawn(field.isel(time=[3, 6, 9]), "2012-10-23")[0] == 6.0
    assert drawn(field.isel(time=slice(None, None, -1)), "2012-10-23T06")[0] == 5.0
    for time, text in {
        "2012-10-23T07": "such as time='2012-10-23T06:00",
        "2013": "no 'time' of '2013'",
        "noon": "no 'time' of 'noon'",
        3: "no 'time' of '3'",
    }.items():
        with pytest.raises(InputError, match=text) as caught:
            plot_panels(truth=field, time=time)
        fix = caught.value.problems[0][1].rpartition("time=")[2]
        plot_panels(truth=field, time=eval(fix))  # the advice can be followed
    with pytest.raises(InputError, match=r"'2012-10-23' is 3 times.*time='2012-10-23T06:00"):
        plot_panels(truth=field.isel(time=[1, 5, 6, 7]), time="2012-10-23")


def test_days_numbers_durations_and_other_coordinates() -> None:
    field = six_hourly()
    assert drawn(field, datetime.date(2012, 10, 23))[0] == 4.0
    numbers = field.assign_coords(time=0.1 * np.arange(12))
    assert drawn(numbers, 0.3) == (3.0, "time = 0.3")
    with pytest.raises(InputError, match=r"no 'time' of '0\.34'.*such as time=0\.3$"):
        drawn(numbers, 0.34)
    lead = field.assign_coords(time=field.time - field.time[0])
    assert drawn(lead, "12h") == (2.0, "time = 0 days 12:00:00")
    wrf = field.rename(time="Time").assign_coords(XTIME=("Time", field.time.values))
    assert drawn(wrf.drop_vars("Time"), "2012-10-23T12") == (6.0, "2012-10-23 12:00")


@pytest.mark.parametrize("height", [8, 400])
def test_titles_do_not_overlap(height: int) -> None:
    """Of a box and of ever taller swaths, with long names of methods."""
    lat, lon = 30 + 0.1 * np.arange(height), 0.1 * np.arange(9)
    truth = xr.DataArray(
        np.sin(lat)[:, None] + np.cos(lon), dims=("lat", "lon"), coords={"lat": lat, "lon": lon}
    ).assign_attrs(units="degree_Celsius")
    maps = {name: 0.9 * truth for name in ("optimal interpolation, tuned", "4DVarNet", "linear")}
    figure = plot_panels(observations=truth.where(truth > 0), reconstruction=maps, truth=truth)
    figure.draw_without_rendering()
    panels = [panel for panel in figure.axes if panel.get_title()]
    assert len(panels) == 8
    boxes = [panel.title.get_window_extent() for panel in panels]
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[n + 1 :])
        assert not any(
            box.overlaps(panel.get_window_extent()) for panel in panels if panel is not panels[n]
        )
        assert panels[n].bbox.width > 0.1 * figure.bbox.width  # a swath is no line


def test_a_figure_that_a_notebook_has_shown_is_not_shown_again(
    truth: xr.DataArray, history: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib.pyplot as plt

    figures = [plot_panels(truth=truth), plot_training(history), plot_spectral_score(truth, truth)]
    assert [figure._repr_mimebundle_() for figure in figures] == [{}] * 3
    assert len(plt.get_fignums()) == 3  # no notebook: a window or a script may still want them
    monkeypatch.setattr(mpl, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    assert [figure._repr_mimebundle_() for figure in figures] == [{}] * 3
    assert plt.get_fignums() == []


@pytest.mark.slow
def test_a_notebook_shows_each_figure_once() -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    setup = """
        import numpy as np, xarray as xr, xr4dvar as xv
        values = np.random.default_rng(0).normal(size=(16, 8, 10)).cumsum(0)
        truth = xr.DataArray(values, dims=("time", "lat", "lon"))
        history = xr.Dataset({"train_loss": ("epoch", [1.0, 0.5, 0.3])})
        plots = xv.plotting
    """
    cells = [
        textwrap.dedent(setup),
        "plots.plot_panels(truth=truth)",
        "plots.plot_panels(truth=truth);",
        "figure = plots.plot_panels(truth=truth)",
        "figure",  # again, where it is asked for again
        "figure = plots.plot_panels(truth=truth)\nfigure",
        "display(plots.plot_panels(truth=truth))",
        "plots.plot_spectral_score(0.9 * truth, truth)",
        "plots.plot_training(history)",
    ]
    v4 = nbformat.v4
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own dependencies
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    images = [
        sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in notebook.cells
    ]
    assert images == [0, *(1 for _ in cells[1:])]


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, truth: xr.DataArray) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "xr4dvar\[plot\]"'):
        plot_panels(truth=truth)


@pytest.fixture
def history() -> xr.Dataset:
    return xr.Dataset(
        {
            "train_loss": ("epoch", [1.0, 0.5, 0.3, 0.2]),
            "validation_loss": ("epoch", [1.1, np.nan, 0.4, 0.45]),
            "learning_rate": ("epoch", [1e-3, 1e-3, 5e-4, 1e-4]),
            "seconds": ("epoch", [1.0, 2.0, 3.0, 4.0]),
        },
        coords={"epoch": [1, 2, 3, 4]},
    )


def test_training_curve(history: xr.Dataset) -> None:
    figure = plot_training(history)
    losses, rate = figure.axes
    lines = {line.get_label(): line.get_xydata() for line in losses.lines}
    np.testing.assert_allclose(lines["training"], [[1, 1.0], [2, 0.5], [3, 0.3], [4, 0.2]])
    np.testing.assert_allclose(lines["validation"], [[1, 1.1], [3, 0.4], [4, 0.45]])
    np.testing.assert_allclose(lines["best: 0.4 at epoch 3"], [[3, 0.4]])
    np.testing.assert_allclose(rate.lines[0].get_ydata(), history.learning_rate)
    assert (losses.get_yscale(), rate.get_xlabel()) == ("log", "epoch")


def test_training_curve_with_little_in_it(history: xr.Dataset) -> None:
    bare = history[["train_loss"]].rename(epoch="step").drop_vars("step") - 0.25
    (panel,) = plot_training(bare).axes
    assert (panel.get_yscale(), panel.get_xlabel()) == ("linear", "step")
    with pytest.raises(InputError, match="no losses"):
        plot_training(history[["seconds"]])
    with pytest.raises(InputError, match="history is a NoneType, not a Dataset"):
        plot_training(None)


def test_spectral_score_marks_the_scales_of_score(maps: xr.DataArray, truth: xr.DataArray) -> None:
    worse = (truth + 3 * (maps - truth)).assign_attrs(truth.attrs)
    figure = plot_spectral_score({"good": maps, "worse": worse}, truth)
    expected = [score(field, truth) for field in (maps, worse)]
    for panel, name, result in zip(figure.axes, ("good", "worse"), expected, strict=False):
        assert panel.get_title() == name
        dashed = [line for line in panel.lines if line.get_linestyle() == "--"]
        assert dashed[0].get_xdata()[0] == pytest.approx(result.lambda_x.item())
        assert dashed[1].get_ydata()[0] == pytest.approx(result.lambda_t.item())
        assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
        assert panel.get_xlabel() == "wavelength (°)"
    assert figure.axes[0].get_ylabel() == "period (day)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["good", "worse"]


def test_spectral_score_of_nothing_resolved(truth: xr.DataArray) -> None:
    figure = plot_spectral_score(-truth, truth)
    assert [text.get_text() for text in figure.axes[0].texts] == ["nothing resolved"]


def test_spectral_score_refuses_gaps(maps: xr.DataArray, truth: xr.DataArray) -> None:
    with pytest.raises(InputError, match="OI has 96 missing"):
        plot_spectral_score({"OI": maps.where(maps.lon > 0)}, truth)


def test_spectral_score_refuses_datasets(maps: xr.DataArray, truth: xr.DataArray) -> None:
    both = xr.Dataset({"a": maps, "b": maps})
    with pytest.raises(InputError, match="reconstruction is a Dataset, of 'a', 'b'"):
        plot_spectral_score(both, truth)
    with pytest.raises(InputError, match=r"truth is a Dataset.*truth\['a'\]"):
        plot_spectral_score(maps, both)
