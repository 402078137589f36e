import pytest

from catalog import (
    DatasetName,
    ErrorKind,
    LakehouseError,
    check_dataset_name,
    check_lake_name,
    check_schema_name,
    parse_dataset_name,
    quote_identifier,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("trips", DatasetName("main", "trips")),
        ("Trips", DatasetName("main", "trips")),
        ("RAW.Trips_2", DatasetName("raw", "trips_2")),
        ("_", DatasetName("main", "_")),
        ("a" * 63, DatasetName("main", "a" * 63)),
        ("select", DatasetName("main", "select")),
    ],
)
def test_names_are_folded_to_lower_case(text, name):
    assert parse_dataset_name(text) == name


def test_the_default_schema_can_be_chosen():
    assert parse_dataset_name("trips", "raw") == DatasetName("raw", "trips")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a.b.c",
        "1a",
        "a-b",
        "a b",
        "a/b",
        "../a",
        "a\n",
        "a\0",
        "ä",
        "\u212a",
        "a" * 64,
        '"a"',
        "a%2e",
    ],
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(LakehouseError) as caught:
        parse_dataset_name(text)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID_ARGUMENT, "invalid_name")


@pytest.mark.parametrize("name", ["primary", "default", "MAIN", "system", "temp", "memory", "pg_catalog"])
def test_lakes_do_not_take_names_that_the_engine_reserves(name):
    with pytest.raises(LakehouseError) as caught:
        check_lake_name(name)
    assert caught.value.code == "reserved_name"


@pytest.mark.parametrize("name", ["information_schema", "PG_CATALOG"])
def test_schemas_do_not_take_names_of_the_system(name):
    with pytest.raises(LakehouseError):
        check_schema_name(name)
    with pytest.raises(LakehouseError):
        check_dataset_name(DatasetName(name, "a"))


def test_quotes_inside_identifiers_are_doubled():
    assert quote_identifier('a"b') == '"a""b"'
