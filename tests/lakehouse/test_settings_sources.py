from pathlib import Path

import pytest
from pydantic import SecretStr

from lakehouse.exits import CommandError, ExitCode
from lakehouse.settings import Settings
from lakehouse.settings_pages import toml_file
from lakehouse.settings_sources import (
    address_flag,
    lake_flag,
    load_settings,
    settings_from_json,
    settings_to_json,
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def file(text: str) -> Path:
    path = Path("lakehouse.toml")
    path.write_text(text)
    return path


def refusal(**arguments) -> str:
    with pytest.raises(CommandError) as caught:
        load_settings(**({"environment": {}} | arguments))
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value)


def test_without_any_source_there_is_one_local_lake_on_loopback():
    settings = load_settings(environment={})
    assert settings == Settings()
    assert list(settings.lakes) == ["lake"]
    assert settings.lakes["lake"].path == Path("lake-data")
    assert (settings.flight.host, settings.flight.port) == ("127.0.0.1", 8815)
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 3100)


def test_flags_beat_variables_which_beat_the_file():
    file("[flight]\nport = 1\nticket_seconds = 11\n[http]\nport = 2\n")
    environment = {"LAKEHOUSE_FLIGHT__PORT": "3", "LAKEHOUSE_HTTP__PORT": "4"}
    settings = load_settings({"flight": {"port": 5}}, environment=environment)
    assert (settings.flight.port, settings.http.port, settings.flight.ticket_seconds) == (5, 4, 11)


def test_the_file_is_the_named_one_or_the_variables_or_the_one_here(tmp_path: Path):
    file("[flight]\nport = 1\n")
    for number in (2, 3):
        (tmp_path / f"{number}.toml").write_text(f"[flight]\nport = {number}\n")
    environment = {"LAKEHOUSE_CONFIG": str(tmp_path / "2.toml")}
    assert load_settings(environment={}).flight.port == 1
    assert load_settings(environment=environment).flight.port == 2
    assert load_settings(config=tmp_path / "3.toml", environment=environment).flight.port == 3


def test_the_lake_flag_replaces_all_other_lakes():
    file("[lakes.sales]\nbucket = 'company'\n[lakes.scratch]\npath = 's'\n")
    assert list(load_settings(environment={}).lakes) == ["sales", "scratch"]
    settings = load_settings(lake_flag("s3://bucket/some/prefix/"), environment={"LAKEHOUSE_LAKES__X__PATH": "x"})
    assert list(settings.lakes) == ["lake"]
    assert (settings.lakes["lake"].bucket, settings.lakes["lake"].prefix) == ("bucket", "some/prefix")
    assert load_settings(lake_flag("/some/where"), environment={}).lakes["lake"].path == Path("/some/where")


@pytest.mark.parametrize("place", ["gs://bucket/lake", "S3://bucket", "file:///srv/lake"])
def test_a_lake_of_another_scheme_is_no_folder(place: str):
    with pytest.raises(CommandError) as caught:
        lake_flag(place)
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(caught.value) == f"--lake {place}: is neither a folder nor s3://BUCKET/PREFIX."


def test_an_address_as_the_path_of_a_lake_is_refused():
    what = "a lake on S3 has a bucket and a prefix instead."
    path = file("[lakes.sales]\npath = 's3://company/sales'\n")
    assert refusal() == f"{path}: [lakes.sales] path: s3://company/sales is not a folder; {what}"
    path.unlink()
    variable = "LAKEHOUSE_LAKES__SALES__PATH"
    assert refusal(environment={variable: "gs://x/y"}) == f"environment: {variable}: gs://x/y is not a folder; {what}"


def test_a_lake_can_come_from_variables():
    settings = load_settings(environment={"LAKEHOUSE_LAKES__SALES__PATH": "/srv/sales"})
    assert settings.lakes["sales"].path == Path("/srv/sales")
    assert list(settings.lakes) == ["sales"]


def test_an_unknown_key_in_the_file_names_the_nearest_one():
    path = file("[flight]\nprot = 1\n")
    assert refusal() == f"{path}: [flight] prot is not a setting; the nearest one is [flight] port."


def test_an_unknown_section_names_the_nearest_one():
    file("[fligth]\nport = 1\n")
    assert refusal() == "lakehouse.toml: fligth is not a setting; the nearest one is flight."


def test_an_unknown_key_of_a_lake_names_the_nearest_one():
    file("[lakes.sales]\nbukcet = 'company'\n")
    assert (
        refusal() == "lakehouse.toml: [lakes.sales] bukcet is not a setting; the nearest one is [lakes.sales] bucket."
    )


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (
            "LAKEHOUSE_FLIGHT__PROT",
            "LAKEHOUSE_FLIGHT__PROT is not a setting; the nearest one is LAKEHOUSE_FLIGHT__PORT",
        ),
        ("LAKEHOUSE_FLIHGT__PORT", "LAKEHOUSE_FLIHGT is not a setting; the nearest one is LAKEHOUSE_FLIGHT"),
        ("LAKEHOUSE_BUCKET", "LAKEHOUSE_BUCKET is not a setting; the nearest one is LAKEHOUSE_LAKES__LAKE__BUCKET"),
    ],
)
def test_an_unknown_variable_names_the_nearest_one(variable: str, message: str):
    assert refusal(environment={variable: "1"}) == f"environment: {message}."


def test_a_key_in_the_wrong_section_is_pointed_to_the_right_one():
    file("[sessions]\nrow_group_rows = 1\n")
    assert refusal().endswith("the nearest one is [writer] row_group_rows.")


def test_all_unknown_keys_are_named_at_once():
    file("[flight]\nprot = 1\nhots = 2\n")
    assert len(refusal(environment={"LAKEHOUSE_X": "1"}).splitlines()) == 3


def test_variables_of_other_commands_and_programs_are_left_alone():
    environment = {
        "LAKEHOUSE_FLIGHT_URI": "grpc://h:1",
        "LAKEHOUSE_HTTP_URL": "http://h:1",
        "LAKEHOUSE_TEST_S3": "x",
        "LAKEHOUSES": "x",
    }
    assert load_settings(environment=environment) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[flight]\nport = 70000\n", "lakehouse.toml: [flight] port: input should be less than or equal to 65535."),
        ("flight = 3\n", "lakehouse.toml: flight: input should be a valid dictionary or instance of FlightSettings."),
        ("[lakes.sales]\n", "lakehouse.toml: [lakes] sales: a lake needs either path or bucket."),
        ("[lakes.main]\npath = 'x'\n", "lakehouse.toml: lakes: 'main' is reserved: no lake may have it."),
    ],
)
def test_a_wrong_value_names_its_place(text: str, message: str):
    file(text)
    assert refusal() == message


def test_a_wrong_value_in_a_variable_names_the_variable():
    file("[flight]\nport = 1\n")
    message = refusal(environment={"LAKEHOUSE_FLIGHT__PORT": "many"})
    assert message.startswith("environment: LAKEHOUSE_FLIGHT__PORT: input should be a valid integer")


def test_a_variable_cannot_set_a_section_and_its_keys():
    message = refusal(environment={"LAKEHOUSE_FLIGHT": "1", "LAKEHOUSE_FLIGHT__PORT": "2"})
    assert message.startswith("environment: LAKEHOUSE_FLIGHT: input should be a valid dictionary")


def test_a_file_that_is_missing_or_no_toml_is_said_in_one_sentence(tmp_path: Path):
    assert "cannot be read: No such file" in refusal(config=tmp_path / "missing.toml")
    assert "is not TOML" in refusal(config=file("[flight\n"))


def test_a_list_in_a_variable_is_written_as_in_the_file():
    environment = {"LAKEHOUSE_HTTP__ALLOWED_HOSTS": '["a.example", "b.example"]', "LAKEHOUSE_FLIGHT__HOST": "[::1]"}
    settings = load_settings(environment=environment)
    assert settings.http.allowed_hosts == ("a.example", "b.example")
    assert settings.flight.host == "[::1]"


def test_settings_survive_the_way_to_a_child_secrets_included():
    settings = load_settings({"flight": {"signing_key": "s" * 40}}, environment={})
    assert "s" * 40 not in repr(settings)
    returned = settings_from_json(settings_to_json(settings).encode())
    assert returned == settings
    assert returned.flight.signing_key == SecretStr("s" * 40)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.0.0.0:1", {"host": "0.0.0.0", "port": 1}),
        (":0", {"port": 0}),
        ("[::1]:80", {"host": "::1", "port": 80}),
    ],
)
def test_an_address_flag_is_host_and_port(text: str, values: dict):
    assert address_flag("http", text) == {"http": values}


def test_an_address_without_a_port_is_refused():
    with pytest.raises(CommandError, match=r"--http localhost: is not HOST:PORT\."):
        address_flag("http", "localhost")


def test_only_a_number_of_bytes_is_explained_as_a_size():
    keys = {}
    for line in reversed(toml_file().splitlines()):
        if " = " in line and not line.startswith("#"):
            key = line.partition(" ")[0]
        elif line.endswith("iB)"):
            keys[key] = line
    assert "part_bytes" in keys
    assert not [key for key in keys if not key.endswith("_bytes")]
