# A wheel of the package index, by the name of its file and its SHA-256.
{ lib, pkgs }:
{ file, sha256 }:
let
  # NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl
  parts = lib.splitString "-" (lib.removeSuffix ".whl" file);
  fromEnd = place: builtins.elemAt parts (builtins.length parts - place);
in
pkgs.fetchPypi {
  format = "wheel";
  pname = builtins.elemAt parts 0;
  version = lib.concatStringsSep "-" (lib.sublist 1 (builtins.length parts - 4) parts);
  dist = fromEnd 3;
  python = fromEnd 3;
  abi = fromEnd 2;
  platform = fromEnd 1;
  inherit sha256;
}
