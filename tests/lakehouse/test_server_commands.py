import gc
import json
import os
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from s3_server import S3Place

import lakehouse
from lakehouse.cli import main
from lakehouse.exits import ExitCode
from lakehouse.settings import Settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder; return its exit code, output and messages."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lakehouse", *map(str, arguments)])
        gc.collect()  # Arrow's writers that earlier tests dropped speak up when they are collected
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capfd.readouterr()

    return run


def test_the_settings_in_force_are_shown_without_secrets(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LAKEHOUSE_FLIGHT__SIGNING_KEY", "a-secret-that-nobody-may-see")
    code, output, errors = run("config", "show", "--lake", "s3://company/lake")
    assert code == ExitCode.OK
    assert "a-secret" not in output + errors
    shown = json.loads(output)
    assert shown["lakes"]["lake"]["bucket"] == "company"
    assert shown.keys() == Settings.model_fields.keys()


def test_the_template_is_the_settings_with_their_defaults(run: Run):
    template = tomllib.loads(run("config", "template")[1])
    assert Settings.model_validate(template) == Settings()


def test_a_configuration_is_checked_without_starting_anything(run: Run, tmp_path: Path):
    assert run("config", "check")[0] == ExitCode.OK
    (tmp_path / "lakehouse.toml").write_text("[engine]\nthread = 1\n")
    code, _, errors = run("config", "check")
    assert code == ExitCode.USAGE
    assert (
        errors == "lakehouse: lakehouse.toml: [engine] thread is not a setting; the nearest one is [engine] threads.\n"
    )
    assert not (tmp_path / "lake-data").exists()


def test_the_store_of_a_local_lake_is_checked(run: Run):
    code, output, _ = run("check-store", "--lake", "some-lake")
    assert code == ExitCode.OK
    assert output == "lake: conditional writes are honoured, so any number of servers may write.\n"


def test_a_lake_of_another_scheme_is_refused_and_makes_no_folder(run: Run, tmp_path: Path):
    code, _, errors = run("check-store", "--lake", "gs://bucket/lake")
    assert code == ExitCode.USAGE
    assert errors == "lakehouse: --lake gs://bucket/lake: is neither a folder nor s3://BUCKET/PREFIX.\n"
    assert not list(tmp_path.iterdir())


def test_the_store_of_a_lake_on_s3_is_checked(run: Run, s3_place: S3Place, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3_place.environ.items():
        monkeypatch.setenv(name, value)
    code, output, errors = run("check-store", "--lake", s3_place.uri)
    assert (code, errors) == (ExitCode.OK, "")
    assert "conditional writes are honoured" in output


def test_a_store_that_cannot_be_reached_has_an_exit_code_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code, _, errors = run("check-store", "--lake", "s3://company")
    assert code == ExitCode.UNREACHABLE
    assert "store_unavailable" in errors
    assert "Traceback" not in errors


def test_a_bucket_without_keys_is_answered_with_how_to_give_them(run: Run, monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    code, _, errors = run("check-store", "--lake", "s3://company/lake")
    assert code == ExitCode.UNREACHABLE
    advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or [secrets] file."
    expected = f"store_unavailable: s3://company/lake: There are no keys to the bucket: {advice}"
    assert errors == f"lakehouse: {expected}\n"


def test_the_version_is_the_packages(run: Run):
    expected = f"lakehouse {version('arrow-lakehouse')}\n"
    assert (run("version")[1], run("--version")[1]) == (expected, expected)
    assert lakehouse.__version__ == version("arrow-lakehouse")
