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

  wheel = import ./wheel.nix { inherit lib pkgs; };

  fetch =
    file: sha256:
    let
      source = builtins.match "(.+)-([^-]+)\\.(tar\\.gz|zip)" file;
      part = builtins.elemAt source;
    in
    if source == null then
      wheel { inherit file sha256; }
    else
      pkgs.fetchPypi {
        pname = part 0;
        version = part 1;
        extension = part 2;
        inherit sha256;
      };
in
{
  # The archives of a Python lock, by file name.
  python = name: builtins.mapAttrs fetch (locked name);

  # A folder of archives under their own names.
  folder =
    name: archives:
    pkgs.runCommand "loc-${name}-archives" { } ''
      mkdir $out
      ${lib.concatStringsSep "\n" (
        lib.mapAttrsToList (file: archive: "ln -s ${archive} $out/${file}") archives
      )}
    '';
}
