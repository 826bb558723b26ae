"""Do the representative requests keep the means of the traces that they stand for?"""

from collections.abc import Sequence

import pytest

from entrepot.catalogue import demand
from entrepot.errors import NotFound


def mean(values: Sequence[float], shares: Sequence[float]) -> float:
    """Return the mean of values under shares."""
    return sum(v * s for v, s in zip(values, shares, strict=True))


@pytest.mark.parametrize("name", demand.mixes())
def test_a_mix_keeps_the_published_means(name: str) -> None:
    """Plan with the mean of the points and you plan with the mean of the trace."""
    isl, osl, share = demand.mix(name)
    assert sum(share) == pytest.approx(1, abs=1e-12)
    published = demand.published_mean(name)
    assert published is not None
    assert mean(isl, share) == pytest.approx(published[0], rel=1e-9)
    assert mean(osl, share) == pytest.approx(published[1], rel=1e-9)


@pytest.mark.parametrize("name", demand.mixes())
def test_every_point_is_a_size_that_can_be_asked_for(name: str) -> None:
    """A request has at least one token each way, and a bucket is not counted twice."""
    isl, osl, share = demand.mix(name)
    assert min(*isl, *osl) >= 1
    assert min(share) > 0
    assert len(set(zip(isl, osl, strict=True))) == len(share)  # one point a bucket


@pytest.mark.parametrize("name", demand.mixes())
def test_points_lie_inside_their_buckets(name: str) -> None:
    """(100, 250] stays between 100 and 250: the spread of the trace is kept, not only its mean."""
    edges = (25, 100, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000)
    rows = demand._buckets()[name]
    isl, osl, _ = demand.mix(name)
    for (in_label, out_label, _), i, o in zip(rows, isl, osl, strict=True):
        for label, point in ((in_label, i), (out_label, o)):
            edge = float(label.lstrip("<>="))
            below = max((e for e in edges if e < edge), default=0)
            assert (point > edge) if label.startswith(">") else (below <= point <= edge), (label, point)


def test_deepseek_r1_writes_more_than_it_reads() -> None:
    """ServeGen: 1,268 tokens in, 1,527 out; the mean input is six times the median."""
    isl, osl, share = demand.mix("servegen-deepseek-r1")
    assert mean(isl, share) == pytest.approx(1268.25, abs=0.01)
    assert mean(osl, share) == pytest.approx(1527.42, abs=0.01)
    at_most_250 = sum(s for i, s in zip(isl, share, strict=True) if i <= 250)
    assert at_most_250 > 0.5  # median 208


@pytest.mark.parametrize("name", demand.curves())
def test_a_daily_curve_has_24_hours_of_mean_one(name: str) -> None:
    """A curve multiplies a mean: it must not add demand of its own."""
    hours = demand.hourly(name)
    assert len(hours) == 24
    assert sum(hours) / 24 == pytest.approx(1)
    assert min(hours) > 0


@pytest.mark.parametrize("name", ["servegen-deepseek-r1", "servegen-mm-image"])
def test_the_peak_hour_of_a_one_day_trace_is_the_peak_of_its_curve(name: str) -> None:
    """Two tables computed apart from one trace: 2.19 and 1.35."""
    assert max(demand.hourly(name)) == pytest.approx(demand.peak(name).peak_hour_over_mean, abs=1e-3)


@pytest.mark.parametrize("name", demand.curves())
def test_no_hour_is_above_the_highest_ten_minutes(name: str) -> None:
    """An hour is a mean of six ten-minute windows."""
    assert demand.peak(name).peak_10min_over_mean >= demand.peak(name).peak_hour_over_mean >= 1


def test_every_mix_and_curve_names_its_licence() -> None:
    """We ship figures of open data only, and say whose."""
    for name in {*demand.mixes(), *demand.curves()}:
        trace = demand.trace(name)
        assert trace.source
        assert trace.licence.startswith(("CC-BY", "Apache-2.0", "MIT")), name


def test_an_unknown_mix_offers_the_near_ones() -> None:
    """A slip of the pen should cost one look."""
    with pytest.raises(NotFound) as error:
        demand.mix("servegen-deepseek-r2")
    assert "servegen-deepseek-r1" in error.value.near
