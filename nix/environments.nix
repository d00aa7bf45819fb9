# Every service as a package: the Python environments of golden.toml, installed from locks/ by uv without a network.
{
  golden,
  lib,
  pkgs,
  tools,
  tracked,
}:
let
  inherit (pkgs.stdenv.hostPlatform) system;

  archives = import ./archives.nix {
    inherit
      lib
      pkgs
      tools
      tracked
      ;
  };

  # What the launcher `loc` writes too: the libraries that each Python of the environment loads at its start.
  libraries = lib.concatMapStringsSep ", " (
    folder: "'${folder}/libgcc_s.so.1', '${folder}/libstdc++.so.6', '${folder}/libz.so.1'"
  ) (lib.filter (folder: folder != "") (lib.splitString ":" tools.environment.LOC_LIBRARY_PATH));

  # The part of golden.toml that settle.py reads: another part changes no environment.
  sharedFiles = builtins.toFile "shared-files.toml" (
    "[shared-files]\n"
    + lib.concatStringsSep "" (
      lib.mapAttrsToList (
        path: package: "${builtins.toJSON path} = ${builtins.toJSON package}\n"
      ) golden.shared-files
    )
  );

  # The folder has the shape of .venvs/NAME. Its bytecode is made here, since nobody can write into the store, and is
  # valid for good, since all files of the store have one time.
  environment =
    name:
    pkgs.runCommand "loc-${name}"
      {
        nativeBuildInputs = [
          tools.golden.uv
          tools.golden.python
        ];
        python = tools.environment.LOC_PYTHON;
        libraryPath = tools.environment.LOC_LIBRARY_PATH;
        inherit libraries;
        archives = archives.folder "${name}-archives" (archives.python name // archives.python "build");
        inherit sharedFiles;
        PYTHONHASHSEED = "0";
        UV_NO_CONFIG = "1";
        UV_OFFLINE = "1";
        meta.description = "The environment ${name} of golden.toml";
      }
      ''
        export HOME=$TMPDIR UV_CACHE_DIR=$TMPDIR/cache
        mkdir locks
        cp ${tracked "locks/${name}.txt"} locks/${name}.txt
        cp ${tracked "locks/build.txt"} locks/build.txt
        cp ${tracked "locks/uv.txt"} locks/uv.txt
        sync() {
          uv pip sync --quiet --no-index --find-links $archives --require-hashes --no-build-isolation \
            --python $out/bin/python "$1"
        }
        uv venv --quiet --python $python $out
        sync locks/build.txt
        sync locks/${name}.txt
        site=$out/lib/python${golden.tools.python}/site-packages
        $out/bin/python -I ${tracked "proto_loc/setup/settle.py"} --golden $sharedFiles $site $archives/*.whl
        # RECORD has hashes of the programs, which name the folder of this build in their first line.
        sed -i -E 's#^((\.\./)+bin/[^,]*),.*#\1,,#' $site/*.dist-info/RECORD
        if [ -n "$libraries" ]; then
          echo "import ctypes, os; list(map(ctypes.CDLL, filter(os.path.exists, ($libraries,))))" \
            >$site/loc-libraries.pth
        fi
        # One process: the bytecode of a module depends on what its process compiled before.
        $out/bin/python -m compileall -q -f --invalidation-mode unchecked-hash $site
        checksums=$(cksum locks/${name}.txt locks/build.txt locks/uv.txt)
        printf '%s\n' "''${checksums//$'\n'/ } $out" $python "$libraryPath" >$out/.stamp
      '';

  # What npm installs for Cube's server, beside the stamps of proto_loc/setup/node.py. The native addon is not in the
  # registry; without it the server uses the stand-in.
  cube =
    let
      server = "proto_loc/cube/server";
      lock = tracked "${server}/package-lock.json";
      # sys.platform and platform.machine() of Python
      machine =
        {
          aarch64-darwin = "darwin-arm64";
          aarch64-linux = "linux-aarch64";
          x86_64-linux = "linux-x86_64";
        }
        .${system};
    in
    pkgs.runCommand "loc-cube"
      {
        nativeBuildInputs = [ tools.golden.node ];
        packageLock = builtins.toJSON (archives.npm lock);
        passAsFile = [ "packageLock" ];
        meta.description = "The packages of Cube's server";
      }
      ''
        export HOME=$TMPDIR
        cp ${tracked "${server}/package.json"} package.json
        cp $packageLockPath package-lock.json
        npm ci --ignore-scripts --offline --no-audit --no-fund --no-update-notifier --silent
        rm node_modules/.package-lock.json # it names the archives
        printf '%s %s %s' ${builtins.hashFile "sha256" lock} "$(node --version)" ${machine} >node_modules/.loc-stamp
        cp node_modules/.loc-stamp node_modules/.loc-addon
        mkdir $out
        mv node_modules $out/
      '';

  installed = builtins.mapAttrs (name: _: environment name) golden.environments // {
    inherit cube;
  };

  packages = installed // {
    # The folder that LOC_ENVIRONMENTS names.
    environments = archives.folder "environments" installed;
  };
in
{
  inherit packages;
  checks = import ./services.nix {
    inherit
      golden
      lib
      packages
      pkgs
      tools
      tracked
      ;
  };
}
