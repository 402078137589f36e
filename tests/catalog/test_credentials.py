"""Who we are to an S3 server comes from a file or the environment, and never shows."""

import pytest

from catalog import LakehouseError, LakeSettings, LocalStore, S3Store, StoreSettings, find_access, open_store

LAKE = LakeSettings(bucket="bucket", endpoint="http://127.0.0.1:9000")
ENVIRON = {"AWS_ACCESS_KEY_ID": "env-key", "AWS_SECRET_ACCESS_KEY": "env-hush", "AWS_SESSION_TOKEN": "env-token"}


def secrets_of(access) -> tuple[str, str] | None:
    if access.credentials is None:
        return None
    return access.credentials.access_key_id, access.credentials.secret_access_key.get_secret_value()


def test_the_file_goes_before_the_environment_and_the_lake_before_the_rest(tmp_path):
    file = tmp_path / "secrets.toml"
    file.write_text(
        '[s3]\naccess_key_id = "all"\nsecret_access_key = "hush"\n'
        '[lakes.west]\naccess_key_id = "west"\nsecret_access_key = "hush-west"\n'
    )

    assert secrets_of(find_access("east", LAKE, file, ENVIRON)) == ("all", "hush")
    assert secrets_of(find_access("west", LAKE, file, ENVIRON)) == ("west", "hush-west")
    assert secrets_of(find_access("west", LAKE, None, ENVIRON)) == ("env-key", "env-hush")
    assert secrets_of(find_access("west", LAKE, None, {})) is None


def test_a_file_with_nothing_for_the_lake_leaves_it_to_the_environment(tmp_path):
    file = tmp_path / "secrets.toml"
    file.write_text("")

    assert secrets_of(find_access("east", LAKE, file, ENVIRON)) == ("env-key", "env-hush")


def test_the_server_is_the_lakes_own_or_that_of_the_environment():
    environ = {"AWS_ENDPOINT_URL_S3": "http://s3", "AWS_ENDPOINT_URL": "http://any", "AWS_REGION": "eu-west-1"}
    bare = LakeSettings(bucket="bucket")

    assert find_access("x", LAKE, None, environ).endpoint == "http://127.0.0.1:9000"
    assert find_access("x", bare, None, environ).endpoint == "http://s3"
    assert find_access("x", bare, None, {"AWS_ENDPOINT_URL": "http://any"}).endpoint == "http://any"
    assert find_access("x", bare, None, {}).endpoint is None
    assert find_access("x", bare, None, environ).region == "eu-west-1"
    assert find_access("x", bare, None, {"AWS_DEFAULT_REGION": "eu-north-1"}).region == "eu-north-1"
    assert find_access("x", LakeSettings(bucket="bucket", region="here"), None, environ).region == "here"
    assert find_access("x", bare, None, {}).region == "us-east-1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[s3]\nsecret_access_key = hush", "not TOML"),
        ('[s3]\nsecret_access_key = "hush"', "access_key_id"),
        ('[s3]\naccess_key_id = "x"\nsecret_access_key = ["hush"]', "secret_access_key"),
        ('[s3]\naccess_key_id = "x"\nsecret_access_key = "hush"\ncolour = "hush"', "colour"),
        ('s3 = "hush"', "'s3' must be a table"),
        ('[s4]\nkey = "hush"', "'s4'"),
        ('[lakes]\neast = "hush"', "look at"),
    ],
)
def test_a_broken_file_is_a_clear_error_without_the_secret(tmp_path, text, said):
    file = tmp_path / "secrets.toml"
    file.write_text(text)

    with pytest.raises(LakehouseError, match=said) as caught:
        find_access("east", LAKE, file, {})

    assert caught.value.code == "invalid_secrets_file"
    assert "hush" not in f"{caught.value}{caught.value.__cause__}"
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(LakehouseError, match="cannot be read"):
        find_access("east", LAKE, tmp_path / "missing", {})


def test_a_lake_opens_the_store_that_it_names(tmp_path):
    assert isinstance(open_store("here", LakeSettings(path=tmp_path), StoreSettings()), LocalStore)
    assert isinstance(open_store("there", LAKE, StoreSettings()), S3Store)
    for wrong in ({}, {"path": tmp_path, "bucket": "bucket"}, {"path": tmp_path, "prefix": "x"}):
        with pytest.raises(ValueError):
            LakeSettings(**wrong)
