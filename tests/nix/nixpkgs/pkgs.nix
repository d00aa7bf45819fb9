{
  host,
  lib,
  system,
}:
let
  build =
    name: attributes: script:
    derivation (
      {
        inherit name system;
        builder = host.bash;
        # The last command is a builtin: bash would become a program that is last, coreutils closes its stderr
        # before it ends, and Nix kills a builder whose stderr is closed.
        args = [
          "-euc"
          (script + "\ntrue")
        ];
        PATH = host.path;
      }
      // attributes
    );

  # A package whose programs are links to programs of this machine.
  program =
    name: tool:
    build "${name}-${tool.version}" { } (
      "mkdir -p $out/bin\n"
      + lib.concatStringsSep "\n" (
        lib.mapAttrsToList (called: path: "ln -s ${path} $out/bin/${called}") tool.programs
      )
    )
    // {
      pname = name;
      inherit (tool) version;
      meta.mainProgram = tool.main;
    };

  archive =
    sha256: name:
    build name {
      outputHash = sha256;
      outputHashAlgo = "sha256";
      outputHashMode = "flat";
    } "echo '${name} is not in the store, and the stand-in for nixpkgs downloads nothing' >&2; exit 1";

  libraries =
    name:
    build "host-${name}" { } ''
      mkdir -p $out/lib
      ${lib.concatMapStringsSep "\n" (path: "ln -s ${path} $out/lib/") host.libraries.${name}}
    '';

  # What stdenv does in a shell: its own programs are on PATH, those of every input come before them, and its hooks and
  # `nix develop` set variables for builds.
  initialPath = program "stdenv-path" host.stdenv;
  setup = build "stdenv" { } ''
    mkdir -p $out
    cat > $out/setup <<'END'
    for p in $nativeBuildInputs; do PATH="$p/bin:$PATH"; done
    export PATH
    export PYTHONPATH=/nonexistent/foreign PYTHONNOUSERSITE=1 PYTHONHASHSEED=0 DETERMINISTIC_BUILD=1
    export SOURCE_DATE_EPOCH=315532800 NODE_PATH=/nonexistent/foreign
    export SSL_CERT_FILE=/no-cert-file.crt NIX_SSL_CERT_FILE=/no-cert-file.crt
    END
  '';
in
builtins.mapAttrs program (removeAttrs host.tools host.removed)
// builtins.listToAttrs (
  map (name: {
    inherit name;
    value = throw "${name} has been removed, as it has reached its end of life";
  }) host.removed
)
// {
  # nixpkgs has it for Linux alone.
  bubblewrap =
    if lib.hasSuffix "-linux" system then
      program "bubblewrap" host.tools.bubblewrap
    else
      throw "bubblewrap is not available on ${system}";
  stdenv = {
    hostPlatform = {
      inherit system;
      isLinux = lib.hasSuffix "-linux" system;
    };
    cc.cc.lib = libraries "gcc";
    cc.bintools.dynamicLinker = host.loader;
  };
  zlib = libraries "zlib";
  cacert = build "cacert" { } "mkdir -p $out/etc/ssl/certs && touch $out/etc/ssl/certs/ca-bundle.crt";
  unixtools.ps = program "ps" host.tools.ps;

  fetchurl = { sha256, url }: archive sha256 (baseNameOf url);

  # An archive of the package index, which a test has to add to the store.
  fetchPypi =
    {
      pname,
      version,
      sha256,
      format ? "setuptools",
      python ? "py2.py3",
      abi ? "none",
      platform ? "any",
      extension ? "tar.gz",
      ...
    }:
    archive sha256 (
      if format == "wheel" then
        "${pname}-${version}-${python}-${abi}-${platform}.whl"
      else
        "${pname}-${version}.${extension}"
    );

  dockerTools = import ./docker-tools.nix { inherit build host lib; };

  mkShellNoCC =
    {
      name,
      packages,
      shellHook,
      env,
    }:
    build name (
      env
      // {
        PATH = "${initialPath}/bin";
        stdenv = setup;
        nativeBuildInputs = packages;
        inherit shellHook;
        outputs = [ "out" ]; # `nix develop` writes the environment into each
      }
    ) "echo shell > $out";

  runCommand =
    name: attributes: script:
    build name (
      removeAttrs attributes [
        "meta"
        "nativeBuildInputs"
      ]
      // {
        PATH = "${lib.makeBinPath (attributes.nativeBuildInputs or [ ])}:${host.path}";
      }
    ) script
    // {
      meta = attributes.meta or { };
    };

  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      runtimeEnv ? { },
    }:
    build name
      {
        passAsFile = [ "text" ];
        text = ''
          #!${host.bash}
          set -o errexit
          set -o nounset
          set -o pipefail
          ${lib.concatStringsSep "\n" (
            lib.mapAttrsToList (variable: value: "export ${variable}='${value}'") runtimeEnv
          )}
          export PATH="${lib.makeBinPath runtimeInputs}:$PATH"

          ${text}
        '';
      }
      ''
        mkdir -p $out/bin
        cp $textPath $out/bin/${name}
        chmod +x $out/bin/${name}
        ${host.bash} -n $out/bin/${name}
        ${host.shellcheck} $out/bin/${name}
      ''
    // {
      meta.mainProgram = name;
    };
}
