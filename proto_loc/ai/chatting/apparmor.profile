# A profile of AppArmor that lets bubblewrap make user namespaces, for the sandbox of `chat` (docs/ai.md).
# Ubuntu, from 23.10 on, refuses them to every program without a profile.
abi <abi/4.0>,
include <tunables/global>

profile loc-bwrap /{usr/bin,nix/store/*/bin}/bwrap flags=(unconfined) {
  userns,
}
