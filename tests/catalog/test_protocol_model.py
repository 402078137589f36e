"""The commit protocol, tried in every order of events; and each broken variant of it, which has to be found out."""

import pytest
from protocol_model import BROKEN, Model, search

EXPECTED = {
    "cleanup": {"dangling reference", "failed rows visible"},
    "no resolve": {"duplicate rows"},
    "no floor": {"dangling reference"},
    "no epochs": {"dangling reference"},
    "no condition": {"acknowledged rows lost", "dangling reference"},
    "no archive check": {"failed rows visible"},
}


@pytest.mark.parametrize(
    "model",
    [
        Model(writers=2, rounds=0),
        Model(writers=2, rounds=1),
        Model(writers=2, rounds=2),
        pytest.param(Model(writers=2, rounds=2, copies=3), marks=pytest.mark.slow),
        pytest.param(Model(writers=3, rounds=0), marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
    ids=str,
)
def test_no_order_of_events_loses_or_doubles_rows(model):
    found, trace, states = search(model)
    print(f"{model}: {states} states")
    assert found is None, "\n".join([str(found), *trace])


def test_every_way_to_break_the_protocol_is_expected_to_be_found():
    assert EXPECTED.keys() == BROKEN.keys()


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_protocol_is_found_out(broken):
    """A test of the test."""
    found, trace, states = search(Model(writers=2, rounds=1, broken=broken))
    print(f"{broken}: {found} after {len(trace)} events, {states} states")
    assert found in EXPECTED[broken]
