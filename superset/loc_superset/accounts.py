"""Who may do what: the roles, the admin's account, and which rows a role sees."""

import os
from importlib.metadata import version
from pathlib import Path

import yaml
from superset import appbuilder, security_manager
from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
from superset.extensions import db
from superset.models.core import Database
from superset.utils.core import RowLevelSecurityFilterType
from werkzeug.security import check_password_hash, generate_password_hash

from loc_superset import rules, schema
from loc_superset.roles import ANALYST, VIEWER
from proto_loc.errors import LocError

ADMIN = "admin"
MOST_OF_A_NAME = 80
"""Characters of a rule's name."""


def roles() -> None:
    """Superset's own permissions and roles, where this release has not made them yet."""
    wanted = [version("apache-superset"), schema.head()]
    if schema.notes("roles").get("roles") != wanted:
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        schema.note("roles", wanted)
        db.session.commit()


def admin() -> None:
    """The admin's account, with the password of its secret; a person's own later password stays.

    A new secret (its file was removed, and made anew) sets the password again.
    """
    with open(os.environ["LOC_SECRET_FILE_ADMIN"]) as file:
        secret = file.read().strip()
    user = security_manager.find_user(ADMIN)
    if user is None:
        role = security_manager.find_role("Admin")
        user = security_manager.add_user(ADMIN, "Local", "Admin", "admin@localhost.invalid", role, password=secret)
        if not user:
            raise LocError("The admin's account cannot be made.", "Superset refuses it.", "See the lines above.")
    elif not check_password_hash(schema.notes("admin").get("admin", ""), secret):
        user.password = generate_password_hash(secret)
        print(f"The password of {ADMIN} is that of {os.environ['LOC_SECRET_FILE_ADMIN']} again.", flush=True)
    else:
        return
    schema.note("admin", generate_password_hash(secret))
    db.session.commit()


def read_rules(path: Path) -> list[dict]:
    """The rules of which rows a role sees, each with ``name``, ``role``, ``dataset`` (its table) and ``clause``.

    Raises:
        LocError: the file is not a YAML list of such rules, two have one name, or a clause is no condition.
    """
    keys = ("name", "role", "dataset", "clause")
    try:
        given = yaml.safe_load(path.read_text()) or []
    except (OSError, yaml.YAMLError) as error:
        raise LocError(
            f"{path} cannot be read.", f"{error}.", "Correct it; a file that holds [] has no rules."
        ) from error
    for number, rule in enumerate(given if isinstance(given, list) else [given], 1):
        why = ""
        if not isinstance(given, list) or not isinstance(rule, dict):
            why = f"It must be a list of rules, each with {', '.join(keys)}."
        elif wrong := [key for key in keys if not isinstance(rule.get(key), str) or not rule[key].strip()]:
            why = f"Rule {number} has no text as its {wrong[0]}."
        elif wrong := rule.keys() - {*keys, "group"}:
            why = f"Rule {number} has the key {min(map(str, wrong))!r}, which means nothing here."
        elif len(rule["name"]) > MOST_OF_A_NAME:
            why = f"The name of rule {number} is longer than {MOST_OF_A_NAME} characters."
        elif rule["name"] in [each["name"] for each in given[: number - 1]]:
            why = f"Two rules are called {rule['name']!r}."
        else:
            try:
                rules.conditions(rule["clause"])
            except LocError as error:
                why = f"The clause of {rule['name']!r} is no condition in SQL: {error}"
        if why:
            raise LocError(f"{path} is not sound; nothing was provisioned of the bundle.", why, "Correct it.")
    return given


def grants(wanted: list[dict], datasets: set[str]) -> None:
    """The roles Viewer and Analyst, and the rules of which rows a role sees.

    Args:
        wanted: the rules of :func:`read_rules`.
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
    _row_level_security(wanted)
    db.session.commit()


def _data(permission: str, name: str):
    return security_manager.add_permission_view_menu(permission, name)


def _permissions(wanted: dict[str, tuple[str, ...]]) -> set:
    found = {(each.view_menu.name, each.permission.name): each for each in security_manager._get_all_pvms()}
    pairs = {(view, permission) for view, permissions in wanted.items() for permission in permissions}
    if missing := sorted(pairs - found.keys()):
        view, permission = missing[0]
        raise LocError(
            f"Superset {version('apache-superset')} has no permission {permission} on {view}.",
            "A role names it.",
            "Correct superset/loc_superset/roles.py.",
        )
    return {found[pair] for pair in pairs}


def _row_level_security(wanted: list[dict]) -> None:
    ours = schema.notes("rule:")
    for rule in wanted:
        role = security_manager.find_role(rule["role"]) or security_manager.add_role(rule["role"])
        table = db.session.query(SqlaTable).filter_by(table_name=rule["dataset"], schema="marts").one_or_none()
        if table is None:
            raise LocError(
                f"The row-level rule {rule['name']!r} has no dataset.",
                f"{rule['dataset']} is in no file of superset/bundle/datasets.",
                "Correct superset/row_level_security.yaml.",
            )
        found = db.session.query(RowLevelSecurityFilter).filter_by(name=rule["name"]).one_or_none()
        if found is None:
            found = RowLevelSecurityFilter(name=rule["name"])
            db.session.add(found)
        found.filter_type = RowLevelSecurityFilterType.REGULAR.value
        found.clause, found.group_key = rule["clause"], rule.get("group")
        found.roles, found.tables = [role], [table]
        found.description = "Of superset/row_level_security.yaml; provisioning brings it back."
        schema.note(f"rule:{rule['name']}", True)
    for key in ours.keys() - {f"rule:{rule['name']}" for rule in wanted}:
        gone = db.session.query(RowLevelSecurityFilter).filter_by(name=key.removeprefix("rule:")).one_or_none()
        if gone is not None:
            db.session.delete(gone)
        schema.note(key, None)
