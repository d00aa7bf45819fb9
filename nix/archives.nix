# The archives that the locks name, each one a fixed output: whoever has it in the store needs no network.
{
  lib,
  pkgs,
  tools,
  tracked,
}:
let
  inherit (pkgs.stdenv.hostPlatform) system;

  # SHA-256 by file name, for this system.
  locked =
    name:
    let
      made = builtins.fromJSON (builtins.readFile (tracked "locks/${name}.json"));
    in
    if made.sha256.lock == builtins.hashFile "sha256" (tracked "locks/${name}.txt") then
      made.archives.all // made.archives.${system}
    else
      throw ''
        locks/${name}.json names the archives of another locks/${name}.txt.
        why: One of them changed without the other.
        fix: ./loc lock'';

  archive = import ./archive.nix { inherit lib pkgs; };

  # An npm package with `os`, `cpu` or `libc` is for some machines only.
  fits =
    package:
    let
      words = lib.splitString "-" system;
      cpu = {
        aarch64 = "arm64";
        x86_64 = "x64";
      };
      allows = key: value: !(package ? ${key}) || builtins.elem value package.${key};
    in
    allows "os" (lib.last words) && allows "cpu" cpu.${lib.head words} && allows "libc" "glibc";
in
{
  # An npm lock whose packages are archives of the store, those that this system installs.
  npm =
    file:
    let
      lock = builtins.fromJSON (builtins.readFile file);
      resolve =
        path: package:
        if path == "" || !fits package then
          package
        else
          package
          // {
            resolved = "file:${
              archive.npm tools.golden.node {
                name = package.name or (lib.last (lib.splitString "node_modules/" path));
                inherit (package) integrity version;
              }
            }";
          };
    in
    lock // { packages = builtins.mapAttrs resolve lock.packages; };

  # The archives of a Python lock, by file name.
  python =
    name: builtins.mapAttrs (file: sha256: archive.python { inherit file sha256; }) (locked name);

  # A folder of links by name.
  folder =
    name: targets:
    pkgs.runCommand "loc-${name}" { } ''
      mkdir $out
      ${lib.concatStringsSep "\n" (
        lib.mapAttrsToList (link: target: "ln -s ${target} $out/${link}") targets
      )}
    '';
}
