"""The fixed schemas of Flight SQL's metadata results. Drivers compare them exactly, nullability included."""

import pyarrow as pa

from .commands import (
    GetCatalogs,
    GetCrossReference,
    GetDbSchemas,
    GetExportedKeys,
    GetImportedKeys,
    GetPrimaryKeys,
    GetSqlInfo,
    GetTables,
    GetTableTypes,
    GetXdbcTypeInfo,
    MetadataCommand,
)


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


CATALOGS = pa.schema([_required("catalog_name", pa.string())])

DB_SCHEMAS = pa.schema([pa.field("catalog_name", pa.string()), _required("db_schema_name", pa.string())])

TABLES = pa.schema(
    [
        pa.field("catalog_name", pa.string()),
        pa.field("db_schema_name", pa.string()),
        _required("table_name", pa.string()),
        _required("table_type", pa.string()),
    ]
)

TABLES_WITH_SCHEMA = TABLES.append(_required("table_schema", pa.binary()))

TABLE_TYPES = pa.schema([_required("table_type", pa.string())])

PRIMARY_KEYS = pa.schema(
    [
        pa.field("catalog_name", pa.string()),
        pa.field("db_schema_name", pa.string()),
        _required("table_name", pa.string()),
        _required("column_name", pa.string()),
        # The protocol's comment has the key's name first; its libraries agree on this order.
        _required("key_sequence", pa.int32()),
        pa.field("key_name", pa.string()),
    ]
)

FOREIGN_KEYS = pa.schema(
    [
        pa.field("pk_catalog_name", pa.string()),
        pa.field("pk_db_schema_name", pa.string()),
        _required("pk_table_name", pa.string()),
        _required("pk_column_name", pa.string()),
        pa.field("fk_catalog_name", pa.string()),
        pa.field("fk_db_schema_name", pa.string()),
        _required("fk_table_name", pa.string()),
        _required("fk_column_name", pa.string()),
        _required("key_sequence", pa.int32()),
        pa.field("fk_key_name", pa.string()),
        pa.field("pk_key_name", pa.string()),
        _required("update_rule", pa.uint8()),
        _required("delete_rule", pa.uint8()),
    ]
)

XDBC_TYPE_INFO = pa.schema(
    [
        _required("type_name", pa.string()),
        _required("data_type", pa.int32()),
        pa.field("column_size", pa.int32()),
        pa.field("literal_prefix", pa.string()),
        pa.field("literal_suffix", pa.string()),
        pa.field("create_params", pa.list_(_required("item", pa.string()))),
        _required("nullable", pa.int32()),
        _required("case_sensitive", pa.bool_()),
        _required("searchable", pa.int32()),
        pa.field("unsigned_attribute", pa.bool_()),
        _required("fixed_prec_scale", pa.bool_()),
        pa.field("auto_increment", pa.bool_()),
        pa.field("local_type_name", pa.string()),
        pa.field("minimum_scale", pa.int32()),
        pa.field("maximum_scale", pa.int32()),
        _required("sql_data_type", pa.int32()),
        pa.field("datetime_subcode", pa.int32()),
        pa.field("num_prec_radix", pa.int32()),
        pa.field("interval_precision", pa.int32()),
    ]
)

SQL_INFO_VALUE = pa.dense_union(
    [
        _required("string_value", pa.string()),
        _required("bool_value", pa.bool_()),
        _required("bigint_value", pa.int64()),
        _required("int32_bitmask", pa.int32()),
        _required("string_list", pa.list_(pa.string())),
        _required("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
    ]
)

SQL_INFO = pa.schema([_required("info_name", pa.uint32()), _required("value", SQL_INFO_VALUE)])

_SCHEMAS: dict[type[MetadataCommand], pa.Schema] = {
    GetCatalogs: CATALOGS,
    GetDbSchemas: DB_SCHEMAS,
    GetTables: TABLES,
    GetTableTypes: TABLE_TYPES,
    GetPrimaryKeys: PRIMARY_KEYS,
    GetExportedKeys: FOREIGN_KEYS,
    GetImportedKeys: FOREIGN_KEYS,
    GetCrossReference: FOREIGN_KEYS,
    GetXdbcTypeInfo: XDBC_TYPE_INFO,
    GetSqlInfo: SQL_INFO,
}


def metadata_schema(command: MetadataCommand) -> pa.Schema:
    """Return the schema of the answer to a metadata command."""
    if isinstance(command, GetTables) and command.include_schema:
        return TABLES_WITH_SCHEMA
    return _SCHEMAS[type(command)]
