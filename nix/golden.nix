# Where the versions that nixpkgs brings are not what golden.toml asks for: one line each, none if all is well.
{ lib }:
golden: versions:
let
  series = wanted: found: found == wanted || lib.hasPrefix "${wanted}." found;
  atLeast = least: found: lib.versionAtLeast found least;

  rules = {
    node = {
      wanted = "${golden.tools.node}.x";
      ok = series golden.tools.node;
    };
    process-compose = {
      wanted = "${golden.tools.process-compose.minimum} or newer";
      ok = atLeast golden.tools.process-compose.minimum;
    };
    python = {
      wanted = "${golden.tools.python}.x";
      ok = series golden.tools.python;
    };
    uv = {
      wanted = "${golden.nixpkgs.uv-minimum} or newer";
      ok = atLeast golden.nixpkgs.uv-minimum;
    };
  };
in
lib.concatLists (
  lib.mapAttrsToList (
    name: rule:
    lib.optionals (!rule.ok versions.${name}) [
      "${name}: golden.toml wants ${rule.wanted}, nixpkgs has ${versions.${name}}"
    ]
  ) rules
)
