# `nix flake check`: each environment is imported, and each service answers, all from the store.
{
  golden,
  lib,
  packages,
  pkgs,
  tools,
  tracked,
}:
let
  inherit (packages) environments platform;

  check =
    name: script:
    pkgs.runCommand name {
      nativeBuildInputs = [ tools.golden.node ];
      __darwinAllowLocalNetworking = true;
      LITELLM_LOCAL_MODEL_COST_MAP = "True";
    } "export HOME=$TMPDIR\n${script}\ntouch $out";

  # What golden.toml names; `name[extra]` is a package too.
  imports =
    name: environment:
    let
      wanted = builtins.attrNames (golden.core // environment.packages);
      file = tracked "nix/imports.py";
    in
    check "imports-${name}" "${packages.${name}}/bin/python -I ${file} ${lib.escapeShellArgs wanted}";

  smoke =
    name: arguments:
    check "smoke-${name}" "${platform}/bin/python -I ${tracked "nix/smoke.py"} ${name} ${environments} ${arguments}";

  # Cube's server as it is in a clone, with the packages of the store.
  server = pkgs.runCommand "loc-cube-server" { } ''
    mkdir -p $out/cube
    cp -R ${tracked "proto_loc/standins"} $out/standins
    cp -R ${tracked "proto_loc/cube/server"} $out/cube/server
    chmod u+w $out/cube/server
    ln -s ${packages.cube}/node_modules $out/cube/server/
  '';
in
lib.mapAttrs' (name: environment: {
  name = "imports-${name}";
  value = imports name environment;
}) golden.environments
// builtins.listToAttrs (
  map
    (name: {
      name = "smoke-${name}";
      value = smoke name (lib.optionalString (name == "cube") "${server}/cube/server");
    })
    [
      "cube"
      "dagster"
      "dbt"
      "jupyter"
      "superset"
    ]
)
