"""Provisions the roles, the admin's account, and the rules for the rows of each role."""

import os
from importlib.metadata import version

from superset import appbuilder, security_manager
from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
from superset.extensions import db
from superset.models.core import Database
from superset.utils.core import RowLevelSecurityFilterType
from werkzeug.security import check_password_hash, generate_password_hash

from proto_loc.errors import LocError
from proto_loc.superset import schema
from proto_loc.superset.role_rules import ALL_ROWS, RowRule
from proto_loc.superset.roles import ANALYST, VIEWER

ADMIN = "admin"


def roles() -> None:
    """Create Superset's own permissions and roles, if this release has not done so yet."""
    state = [version("apache-superset"), schema.head()]
    if schema.notes("roles").get("roles") != state:
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        schema.note("roles", state)
        db.session.commit()


def admin() -> None:
    """Create the admin's account with its secret as the password; a later password stays.

    A new secret (its file was removed and made again) sets the password again.
    """
    with open(os.environ["LOC_SECRET_FILE_ADMIN"]) as file:
        secret = file.read().strip()
    user = security_manager.find_user(ADMIN)
    if user is None:
        role = security_manager.find_role("Admin")
        user = security_manager.add_user(
            ADMIN, "Local", "Admin", "admin@localhost.invalid", role, password=secret
        )
        if not user:
            raise LocError(
                "The admin's account cannot be made.",
                "Superset refuses it.",
                "See the lines above.",
            )
    elif not check_password_hash(schema.notes("admin").get("admin", ""), secret):
        user.password = generate_password_hash(secret)
        print(
            f"The password of {ADMIN} is that of {os.environ['LOC_SECRET_FILE_ADMIN']} again.",
            flush=True,
        )
    else:
        return
    schema.note("admin", generate_password_hash(secret))
    db.session.commit()


def grants(rules: list[RowRule], datasets: set[str]) -> None:
    """Create the roles Viewer and Analyst, and the rules for the rows that a role sees.

    Args:
        rules: the result of :func:`proto_loc.superset.role_rules.read_rules`.
        datasets: the uuids of the bundle's datasets, which a Viewer may see.
    """
    prod = db.session.query(Database).filter_by(database_name="prod").one()
    seen = [table.perm for table in db.session.query(SqlaTable) if str(table.uuid) in datasets]
    viewer = _permissions(VIEWER) | {_data("datasource_access", perm) for perm in seen}
    analyst = viewer | _permissions(ANALYST) | {_data("database_access", prod.perm)}
    for name, permissions in (("Viewer", viewer), ("Analyst", analyst)):
        role = security_manager.find_role(name) or security_manager.add_role(name)
        if set(role.permissions) != permissions:
            role.permissions = list(permissions)
    _row_level_security(rules)
    db.session.commit()


def _data(permission: str, name: str):
    return security_manager.add_permission_view_menu(permission, name)


def _permissions(views: dict[str, tuple[str, ...]]) -> set:
    known = {
        (each.view_menu.name, each.permission.name): each
        for each in security_manager._get_all_pvms()
    }
    pairs = {
        (view, permission) for view, permissions in views.items() for permission in permissions
    }
    if missing := sorted(pairs - known.keys()):
        view, permission = missing[0]
        raise LocError(
            f"Superset {version('apache-superset')} has no permission {permission} on {view}.",
            "A role names it.",
            "Correct proto_loc/superset/roles.py.",
        )
    return {known[pair] for pair in pairs}


def _row_level_security(rules: list[RowRule]) -> None:
    tables = {str(table.uuid): table for table in db.session.query(SqlaTable)}
    roles = {
        name: security_manager.find_role(name) or security_manager.add_role(name)
        for name in {ALL_ROWS, *(name for rule in rules for name in rule.roles)}
    }
    filters = {kept.name: kept for kept in db.session.query(RowLevelSecurityFilter)}
    for rule in rules:
        row_filter = filters.get(rule.name) or RowLevelSecurityFilter(name=rule.name)
        kind = RowLevelSecurityFilterType
        row_filter.filter_type = (kind.BASE if rule.closes else kind.REGULAR).value
        row_filter.clause = rule.clause
        # A person who has several roles with one claim sees the values of all of them.
        row_filter.group_key = None if rule.closes else rule.claim
        row_filter.roles = [roles[name] for name in rule.roles]
        row_filter.tables = [tables[rule.dataset]]
        row_filter.description = "Of superset/roles.yaml; provisioning brings it back."
        db.session.add(row_filter)
        schema.note(f"rule:{rule.name}", True)
    for key in schema.notes("rule:").keys() - {f"rule:{rule.name}" for rule in rules}:
        if row_filter := filters.get(key.removeprefix("rule:")):
            db.session.delete(row_filter)
        schema.note(key, None)
