"""Lists the permissions of the roles Viewer and Analyst, with Superset's names of views.

The permissions are not copied from Superset's roles, because those grow with each release. The role
Admin is Superset's own.
"""

VIEWER: dict[str, tuple[str, ...]] = {
    "Api": ("can_query", "can_query_form_data", "can_time_range"),
    "AvailableDomains": ("can_read",),
    "Chart": ("can_read",),
    "Charts": ("menu_access",),
    "CssTemplate": ("can_read",),
    "CurrentUserRestApi": ("can_read", "can_write"),  # their own name and password
    "Dashboard": ("can_read", "can_drill", "can_view_chart_as_table", "can_view_query"),
    "DashboardFilterStateRestApi": ("can_read", "can_write"),
    "DashboardPermalinkRestApi": ("can_read", "can_write"),
    "Dashboards": ("menu_access",),
    "Dataset": ("can_read", "can_get_drill_info"),
    "Datasource": ("can_get", "can_get_column_values", "can_samples"),
    "Explore": ("can_read",),
    "ExploreFormDataRestApi": ("can_read", "can_write"),
    "ExplorePermalinkRestApi": ("can_read", "can_write"),
    "Home": ("menu_access",),
    "Log": ("can_recent_activity",),
    "MenuApi": ("can_get",),
    "ResetMyPasswordView": ("can_this_form_get", "can_this_form_post"),
    "SecurityRestApi": ("can_read",),  # the CSRF token
    "Superset": (
        "can_csv",
        "can_dashboard",
        "can_dashboard_permalink",
        "can_explore",
        "can_explore_json",
        "can_fetch_datasource_metadata",
        "can_language_pack",
        "can_log",
        "can_share_chart",
        "can_share_dashboard",
        "can_slice",
    ),
    "Tag": ("can_read",),
    "Theme": ("can_read",),
    "UserDBModelView": ("can_userinfo", "resetmypassword"),
    "user": ("can_read",),
}
"""Looks at what is published, filters and drills, follows and shares links, and changes nothing."""

ANALYST: dict[str, tuple[str, ...]] = {
    "Chart": ("can_write", "can_export"),
    "Dashboard": ("can_write", "can_export", "can_put_chart_customizations"),
    "Database": ("can_read",),
    "Dataset": ("can_write", "can_export", "can_duplicate", "can_get_or_create_dataset"),
    "Datasets": ("menu_access",),
    "Datasource": (
        "can_external_metadata",
        "can_external_metadata_by_name",
        "can_save",
        "can_validate_expression",
    ),
    "Query": ("can_read",),
    "Query Search": ("menu_access",),
    "SQL Editor": ("menu_access",),
    "SQL Lab": ("menu_access",),
    "SQLLab": (
        "can_execute_sql_query",
        "can_export_csv",
        "can_export_streaming_csv",
        "can_format_sql",
        "can_get_results",
        "can_read",
    ),
    "Saved Queries": ("menu_access",),
    "SavedQuery": ("can_export", "can_list", "can_read", "can_write"),
    "SqlLabPermalinkRestApi": ("can_read", "can_write"),
    "Superset": ("can_sqllab", "can_sqllab_history"),
    "TabStateView": (
        "can_activate",
        "can_delete",
        "can_delete_query",
        "can_get",
        "can_migrate_query",
        "can_post",
        "can_put",
    ),
    "TableSchemaView": ("can_delete", "can_expanded", "can_post"),
    "Tag": ("can_write", "can_bulk_create"),
}
"""Beyond a Viewer: SQL Lab on ``prod``, and charts, dashboards and datasets of their own."""
